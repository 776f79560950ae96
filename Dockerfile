# The serving image: the binary and nothing to open a shell with. PostgreSQL is not in it; set DATABASE_URL.
#
#   docker build -t countersign .
#   docker run -p 127.0.0.1:8080:8080 -e COUNTERSIGN_PUBLIC_URL=https://approvals.example.com \
#     -e DATABASE_URL=… -e AWS_REGION=eu-west-1 countersign
#
# deploy/compose.yaml is a whole installation.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
# Dependencies first, with an empty crate of the same manifest: a layer that only a new Cargo.lock throws away.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' > src/main.rs \
 && cargo build --release --locked && rm -r src
COPY sqlx.toml ./
COPY .sqlx .sqlx
COPY migrations migrations
COPY templates templates
COPY static static
COPY src src
# The empty crate must not be mistaken for the real one.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/target/release/countersign /usr/local/bin/countersign
# Inside a container, loopback reaches nobody. COUNTERSIGN_PUBLIC_URL must then say the https address people use.
ENV COUNTERSIGN_LISTEN=0.0.0.0:8080 COUNTERSIGN_LOG_FORMAT=json
EXPOSE 8080
USER nonroot
STOPSIGNAL SIGTERM
# Reads the configuration `serve` reads, so it asks the right address.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/countersign", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/countersign"]
CMD ["serve"]
