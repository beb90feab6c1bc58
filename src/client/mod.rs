//! How to reach a server that speaks the Kubernetes API: in this process, by a unix socket, or elsewhere.
