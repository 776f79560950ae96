//! The portal over HTTP, assembled: routes, layers, connections.
