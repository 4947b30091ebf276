/*
 * For Linux kernels whose functions can be traced, of which libdtrace makes the tcp provider.
 *
 * ours[port]: the local ports of the traced command. They are learnt where the command acts itself,
 * since segments are also sent and received by whoever happens to run when a packet is handled.
 */

/* The command and what it starts. On Linux progenyof() alone overlooks all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

/* The command begins to listen. */
tcp:::state-change
/args[3]->tcps_state == TCP_STATE_LISTEN && mine/
{
	ours[args[3]->tcps_lport] = 1;
}

/* The command opens a connection. */
tcp:::send
/(args[4]->tcp_flags & (TH_SYN | TH_ACK)) == TH_SYN && mine/
{
	ours[args[4]->tcp_sport] = 1;
}

tcp:::send
/ours[args[4]->tcp_sport]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "send",
	    args[4]->tcp_sport, args[4]->tcp_dport, args[4]->tcp_seq, args[4]->tcp_ack,
	    args[2]->ip_plength - args[4]->tcp_offset,
	    args[4]->tcp_flags, tcp_state_string[args[3]->tcps_state]);
}

tcp:::receive
/ours[args[4]->tcp_dport]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "receive",
	    args[4]->tcp_sport, args[4]->tcp_dport, args[4]->tcp_seq, args[4]->tcp_ack,
	    args[2]->ip_plength - args[4]->tcp_offset,
	    args[4]->tcp_flags, tcp_state_string[args[3]->tcps_state]);
}

/*
 * Every system call, by number: one probe for all, since a kernel takes long to enable and disable the
 * hundreds of probes of syscall:::entry.
 */
rawtp:raw_syscalls::sys_enter
/mine/
{
	@syscalls[arg1] = count();
}
