# shellcheck shell=sh
# What the scripts have in common: saying what happens, and getting what a machine lacks.
#
# Assumed on the machine: a Rust toolchain and a package manager. Everything else is looked for first and installed only
# when it is missing, so that a run on a prepared machine costs nothing. Sourced, never run. The caller sets `root`.
# shellcheck disable=SC2154 # root is the caller's
# shellcheck disable=SC2034 # scratch_url is for the caller

# Pinned, so that the tests meet the command line they were written against.
AWS_CLI_VERSION=1.46.2
# What the measurements compare the watcher with.
BOTO3_VERSION=1.44.5
POSTGRES_VERSIONS="18 17 16 15 14"

say() { printf '%s\n' "$*"; }
fail() {
  printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# A step is announced when it starts, and its time printed when the next one does.
step() {
  end_step
  step_name=$*
  step_start=$(date +%s)
  say "==> $*"
}
end_step() {
  if [ -n "${step_name:-}" ]; then
    say "    done in $(($(date +%s) - step_start)) s"
  fi
  step_name=
}

need_rust() {
  if ! command -v cargo >/dev/null 2>&1; then
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
      PATH=$HOME/.cargo/bin:$PATH
      export PATH
    else
      fail "cargo was not found. Install a Rust toolchain of 1.95 or newer, for example from https://rustup.rs, and run this again."
    fi
  fi
  minor=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
  if [ -n "$minor" ] && [ "$minor" -lt 95 ]; then
    fail "$(rustc --version) is too old: Rust 1.95 or newer is needed. With rustup: rustup update stable."
  fi
}

need_rust_component() { # command, component
  cargo "$1" --version >/dev/null 2>&1 && return
  command -v rustup >/dev/null 2>&1 ||
    fail "cargo $1 is missing. Install the component \"$2\" of your Rust toolchain."
  rustup component add "$2" >/dev/null || fail "rustup could not add the component $2."
}

# --- package managers -------------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    fail "needs to run \"$*\" as root, and there is no sudo. Run that as root once, then run this again."
  fi
}

apt_updated=
apt_install() {
  if [ -z "$apt_updated" ]; then
    say "    apt-get update"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null ||
      fail "apt-get update did not work. Look at the network and at /etc/apt/sources.list, then run this again."
    apt_updated=1
  fi
  say "    apt-get install $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
    fail "apt-get could not install: $*. What it said is above."
}

brew_install() {
  say "    brew install $*"
  brew install --quiet "$@" || fail "brew could not install: $*. What it said is above."
}

# Installs by apt or brew; elsewhere names what is missing. what, apt packages, brew packages
install() {
  if command -v apt-get >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # several packages
    apt_install $2
  elif [ "$(uname -s)" = Darwin ] && command -v brew >/dev/null 2>&1; then
    # shellcheck disable=SC2086 # several packages
    brew_install $3
  else
    fail "$1 is missing, and this machine has neither apt nor brew. Install $1 with your package manager, then run this again."
  fi
}

# --- what is needed ---------------------------------------------------------------------------------------------------

c_compiler_works() {
  command -v cc >/dev/null 2>&1 || return 1
  # A compiler without the C library's headers is found on slim images.
  printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | cc -x c - -o /dev/null 2>/dev/null
}

need_c_compiler() {
  c_compiler_works && return
  if [ "$(uname -s)" = Darwin ]; then
    fail "a C compiler is missing. Run: xcode-select --install"
  fi
  install "a C compiler with the C library's headers (gcc, libc6-dev)" "gcc libc6-dev" ""
  c_compiler_works || fail "a C compiler was installed but cannot compile an empty program: try: cc --version"
}

# Prints the directory that holds both server programs; the same places in which the portal looks.
find_postgres() {
  if command -v postgres >/dev/null 2>&1 && command -v initdb >/dev/null 2>&1; then
    # A link on PATH is followed: the other programs lie beside the real one.
    dirname "$(readlink -f "$(command -v postgres)")"
    return
  fi
  if command -v pg_config >/dev/null 2>&1; then
    set -- "$(pg_config --bindir)"
  else
    set --
  fi
  for version in $POSTGRES_VERSIONS; do
    set -- "$@" "/usr/lib/postgresql/$version/bin" "/usr/pgsql-$version/bin" \
      "/opt/homebrew/opt/postgresql@$version/bin" "/usr/local/opt/postgresql@$version/bin" \
      "/home/linuxbrew/.linuxbrew/opt/postgresql@$version/bin" \
      "/Applications/Postgres.app/Contents/Versions/$version/bin"
  done
  for place in "$@"; do
    if [ -x "$place/postgres" ] && [ -x "$place/initdb" ]; then
      printf '%s\n' "$place"
      return
    fi
  done
  return 1
}

need_postgres() {
  find_postgres >/dev/null && return
  if command -v apt-get >/dev/null 2>&1; then
    # The package would start a server for the whole machine, which nobody asked for: only the programs are wanted.
    apt_install postgresql-common
    no_cluster=/etc/postgresql-common/createcluster.d/countersign.conf
    as_root mkdir -p /etc/postgresql-common/createcluster.d
    printf 'create_main_cluster = false\n' | as_root tee "$no_cluster" >/dev/null
    apt_install postgresql
    as_root rm -f "$no_cluster"
  else
    install "PostgreSQL 14 to 18 (the server programs postgres and initdb)" "" postgresql@17
  fi
  find_postgres >/dev/null ||
    fail "PostgreSQL was installed, but its server programs postgres and initdb were not found in the usual places."
}

# What lets a replica live in another time, for the fault stories. Linux only, as they are.
need_faketime() {
  [ "$(uname -s)" = Linux ] || return 0
  find_faketime && return
  install "libfaketime" "libfaketime" ""
  find_faketime || fail "libfaketime was installed, but libfaketimeMT.so.1 is not where distributions keep it."
}

find_faketime() {
  if [ -z "${COUNTERSIGN_TEST_FAKETIME:-}" ]; then
    for library in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib64/faketime/libfaketimeMT.so.1 \
      /usr/lib/faketime/libfaketimeMT.so.1; do
      [ -e "$library" ] && COUNTERSIGN_TEST_FAKETIME=$library
    done
  fi
  export COUNTERSIGN_TEST_FAKETIME
  [ -n "${COUNTERSIGN_TEST_FAKETIME:-}" ]
}

# Browser and driver for the browser tests; exported, so that the tests need not search again.
need_browser() {
  find_browser && return
  if command -v brew >/dev/null 2>&1 && [ "$(uname -s)" = Darwin ]; then
    say "    brew install --cask google-chrome chromedriver"
    brew install --quiet --cask google-chrome chromedriver || fail "brew could not install Google Chrome and chromedriver."
  elif grep -qs '^ID=ubuntu' /etc/os-release; then
    fail "Chromium and its driver are missing. Ubuntu has Chromium only as a snap: run \"sudo snap install chromium\", or install Google Chrome and the chromedriver of the same version so that both are on PATH. Then run this again."
  else
    install "Chromium with chromedriver" "chromium chromium-driver" ""
  fi
  find_browser || fail "a browser was installed, but chromium (or google-chrome) and chromedriver are not on PATH."
}

find_browser() {
  COUNTERSIGN_TEST_BROWSER=${COUNTERSIGN_TEST_BROWSER:-$(find_program chromium google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")}
  COUNTERSIGN_TEST_DRIVER=${COUNTERSIGN_TEST_DRIVER:-$(find_program chromedriver chromium.chromedriver)}
  export COUNTERSIGN_TEST_BROWSER COUNTERSIGN_TEST_DRIVER
  [ -n "$COUNTERSIGN_TEST_BROWSER" ] && [ -n "$COUNTERSIGN_TEST_DRIVER" ]
}

# Prints where the first of the named programs is, or nothing.
find_program() {
  for program in "$@"; do
    if command -v "$program" >/dev/null 2>&1; then
      command -v "$program"
      return
    fi
  done
}

# The AWS command line of a pinned version, in a virtual environment under target/, touching nothing else.
need_aws_cli() {
  need_python_package awscli "$AWS_CLI_VERSION" aws
  COUNTERSIGN_TEST_AWS_CLI=$tools/bin/aws
  export COUNTERSIGN_TEST_AWS_CLI
}

# The identity provider that single sign-on is tested with: a pinned npm package with all it needs, checked against the hashes
# in package-lock.json, under target/. It runs with the Node.js of Debian 12.
need_identity_provider() {
  COUNTERSIGN_TEST_IDENTITY_PROVIDER=$root/target/tools/identity-provider
  export COUNTERSIGN_TEST_IDENTITY_PROVIDER
  need_node
  if cmp -s "$root/tests/data/idp/package-lock.json" "$COUNTERSIGN_TEST_IDENTITY_PROVIDER/installed"; then
    return
  fi
  if ! command -v npm >/dev/null 2>&1; then
    install "npm" "npm" "node"
  fi
  say "    npm ci into target/tools/identity-provider"
  rm -rf "$COUNTERSIGN_TEST_IDENTITY_PROVIDER"
  mkdir -p "$COUNTERSIGN_TEST_IDENTITY_PROVIDER"
  cp "$root/tests/data/idp/package.json" "$root/tests/data/idp/package-lock.json" "$COUNTERSIGN_TEST_IDENTITY_PROVIDER"
  (cd "$COUNTERSIGN_TEST_IDENTITY_PROVIDER" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) ||
    fail "npm could not install the identity provider. Look at the network or the package registry, then run this again."
  cp "$root/tests/data/idp/package-lock.json" "$COUNTERSIGN_TEST_IDENTITY_PROVIDER/installed"
}

need_node() {
  if ! command -v node >/dev/null 2>&1; then
    install "Node.js 18 or newer" "nodejs" "node"
  fi
  node_major=$(node --version | sed -n 's/^v\([0-9]*\)\..*/\1/p')
  if [ "${node_major:-0}" -lt 18 ]; then
    fail "Node.js $(node --version) is too old for the tests' identity provider: 18 or newer is needed."
  fi
}

# The AWS library that teams write their own loops with, likewise.
need_boto3() {
  need_python_package boto3 "$BOTO3_VERSION" python
}

# The mail server that mails are sent through in the browser tests: somebody else's.
need_mail_server() {
  need_locked_python_packages mail-server "$root/tests/data/smtp/requirements.txt"
  COUNTERSIGN_TEST_MAIL_SERVER=$tools/bin/python
  export COUNTERSIGN_TEST_MAIL_SERVER
}

# The SNS and SQS that announcements come from in the event tests: moto's.
need_aws_stand_in() {
  need_locked_python_packages aws-stand-in "$root/tests/data/aws/requirements.txt"
  COUNTERSIGN_TEST_AWS_STAND_IN=$tools/bin/python
  export COUNTERSIGN_TEST_AWS_STAND_IN
}

# Packages with all they need, checked against the hashes in a file, in target/tools/NAME; sets `tools`. name, file
need_locked_python_packages() {
  tools=$root/target/tools/$1
  if cmp -s "$2" "$tools/installed" && [ -x "$tools/bin/python" ]; then
    return
  fi
  say "    pip install into target/tools/$1"
  make_python_place "$tools"
  "$tools/bin/pip" --quiet --disable-pip-version-check install --require-hashes --only-binary :all: -r "$2" ||
    fail "pip could not install what $2 lists. Look at the network or the package index, then run this again."
  cp "$2" "$tools/installed"
}

# A package of a pinned version in target/tools/PACKAGE; sets `tools`. package, version, program it must bring
need_python_package() {
  tools=$root/target/tools/$1
  if [ "$(cat "$tools/version" 2>/dev/null)" = "$2" ] && [ -x "$tools/bin/$3" ]; then
    return
  fi
  say "    pip install $1==$2 into target/tools/$1"
  make_python_place "$tools"
  "$tools/bin/pip" --quiet --disable-pip-version-check install "$1==$2" ||
    fail "pip could not install $1 $2. Look at the network or the package index, then run this again."
  printf '%s\n' "$2" >"$tools/version"
}

# An empty virtual environment at this place.
make_python_place() {
  if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    install "Python 3 with venv" "python3 python3-venv" python@3.12
  fi
  rm -rf "$1"
  mkdir -p "$(dirname "$1")"
  python3 -m venv "$1" || fail "python3 could not make a virtual environment in $1."
}

# --- a Postgres for the compiler --------------------------------------------------------------------------------------

# Starts a server in a directory of its own, reachable only through a socket there, with the roles and the schema the
# query macros are checked against. Sets `scratch`; stop_scratch_postgres ends it and removes the directory.
start_scratch_postgres() {
  postgres_bin=$(find_postgres)
  scratch=$(mktemp -d /tmp/countersign-sql.XXXXXX)
  if [ "$(id -u)" = 0 ]; then
    # The server refuses to run as root.
    if id postgres >/dev/null 2>&1; then scratch_user=postgres; else scratch_user=nobody; fi
    chown "$scratch_user" "$scratch"
  else
    scratch_user=
  fi
  if ! make_scratch_cluster >"$scratch.log" 2>&1; then
    cat "$scratch.log" >&2
    cat "$scratch/log" >&2 2>/dev/null || true
    fail "a scratch PostgreSQL could not be started in $scratch. What it said is above."
  fi
  sql -U postgres -d postgres -c "create database countersign"
  sql -U postgres -d countersign -f "$root/src/database/roles.sql"
  for migration in "$root"/migrations/*.sql; do
    sql -U countersign_owner -d countersign --single-transaction -f "$migration"
  done
  scratch_url="postgres:///countersign?host=$scratch&user=countersign_owner"
}

make_scratch_cluster() {
  as_scratch "$postgres_bin/initdb" -D "$scratch/data" -U postgres -A trust -E UTF8 --no-locale -N || return 1
  as_scratch "$postgres_bin/pg_ctl" -D "$scratch/data" -l "$scratch/log" -w \
    -o "-k $scratch -c listen_addresses= -c fsync=off" start
}

stop_scratch_postgres() {
  [ -n "${scratch:-}" ] || return 0
  as_scratch "$postgres_bin/pg_ctl" -D "$scratch/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$scratch" "$scratch.log"
  scratch=
}

as_scratch() {
  if [ -z "$scratch_user" ]; then
    "$@"
  elif command -v runuser >/dev/null 2>&1; then
    (cd / && runuser -u "$scratch_user" -- "$@")
  else
    fail "runs as root but there is no runuser to give PostgreSQL another user. Run this as an ordinary user."
  fi
}

sql() {
  "$(find_program "$postgres_bin/psql" psql)" -X -q -v ON_ERROR_STOP=1 -h "$scratch" "$@" >/dev/null ||
    fail "the migrations do not run on an empty database. What psql said is above."
}
