//! Losses of proxies: learned points that stand for classes, compared with samples pair by pair.

pub mod anchor;
pub mod nca;
pub mod soft_triple;
