//! Every rule by which packets get names, as small worlds whose truth is plain to see, each with its
//! negative twin: the case where no name may be given. `DESIGN` §5 and §6 are the rules.

mod clocks;
mod doubt;
mod namespaces;
mod nat;
mod owner;
mod proxy;
mod reasons;
mod related;
mod reuse;
mod udp;
mod unseen;
