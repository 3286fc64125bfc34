//! A thread for which the kernel refuses some system calls. Some containers refuse the system calls that their filter
//! does not list.

use std::net::TcpListener;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use socket2::{Domain, SockFilter, SockRef, Socket, Type};

const EPERM: i32 = 1;
/// Numbers of system calls. x86_64 has its own numbers, and the other architectures share theirs.
const SOCKET: i64 = if cfg!(target_arch = "x86_64") { 41 } else { 198 };
const SETSOCKOPT: i64 = if cfg!(target_arch = "x86_64") { 54 } else { 208 };
const AF_NETLINK: i32 = 16;
const SOL_SOCKET: i32 = 1;
const SO_ATTACH_FILTER: i32 = 26;
const SO_BINDTOIFINDEX: i32 = 62;

/// The forbidden system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// Queries about other sockets.
    Netlink,
    /// Queries about other sockets, filters on a socket, and binding a socket to an interface.
    NetlinkFilterAndBinding,
}

/// Makes the kernel refuse these calls to this thread, and to the threads that this thread starts.
pub(crate) fn enter(forbidden: Forbidden) {
    let argument = |number, value: i32| {
        SeccompCondition::new(number, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64).unwrap()
    };
    let option = |name| SeccompRule::new(vec![argument(1, SOL_SOCKET), argument(2, name)]).unwrap();
    let mut refused = vec![(SOCKET, vec![SeccompRule::new(vec![argument(0, AF_NETLINK)]).unwrap()])];
    if forbidden == Forbidden::NetlinkFilterAndBinding {
        refused.push((SETSOCKOPT, vec![option(SO_ATTACH_FILTER), option(SO_BINDTOIFINDEX)]));
    }
    let filter = SeccompFilter::new(
        refused.into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(EPERM as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();

    let refused = Socket::new(Domain::from(AF_NETLINK), Type::RAW, None).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(EPERM));
    if forbidden == Forbidden::NetlinkFilterAndBinding {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = SockRef::from(&listener).attach_filter(&[SockFilter::new(0x06, 0, 0, u32::MAX)]);
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(EPERM));
        let refused = SockRef::from(&listener).bind_device_by_index_v4(std::num::NonZeroU32::new(1));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(EPERM));
    }
}
