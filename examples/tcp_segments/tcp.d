/*
 * For Linux kernels that can trace functions: libdtrace builds the tcp provider on function probes.
 *
 * ours[port] holds the local ports of the traced command. The script learns them where the command itself
 * acts, because segments are also sent and received in the context of whatever happens to run.
 */

/* The command and what it starts. On Linux progenyof() alone misses all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

/* The command starts to listen. */
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

/*
 * Computes the length of the data: the length of the buffer from the header on, minus the header's length,
 * which is in its byte 12. libdtrace 2.0.7 provides neither: tcp_offset is always 0, and so is ip_plength of
 * a segment that is sent. A reply without a connection, such as a reset, comes with the buffer of the
 * segment that it answers, and has no data.
 */
tcp:::send, tcp:::receive
{
	this->skb = (struct sk_buff *)args[0]->pkt_addr;
	this->header = (uint8_t *)args[4]->tcp_hdr;
	this->data = this->header == this->skb->head + this->skb->transport_header ?
	    this->skb->len - ((this->header[12] >> 4) << 2) : 0;
}

tcp:::send
/ours[args[4]->tcp_sport]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "send",
	    args[4]->tcp_sport, args[4]->tcp_dport, args[4]->tcp_seq, args[4]->tcp_ack,
	    this->data, args[4]->tcp_flags, tcp_state_string[args[3]->tcps_state]);
}

tcp:::receive
/ours[args[4]->tcp_dport]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "receive",
	    args[4]->tcp_sport, args[4]->tcp_dport, args[4]->tcp_seq, args[4]->tcp_ack,
	    this->data, args[4]->tcp_flags, tcp_state_string[args[3]->tcps_state]);
}

/*
 * In libdtrace 2.0.7, a listener's reply to a SYN does not fire tcp:::send. It belongs to a half-open
 * connection, for which Linux has a separate state, 12.
 */
rawtp:net::net_dev_queue
{
	this->answer = (struct sk_buff *)arg0;
	this->half_open = this->answer->sk != NULL && this->answer->sk->__sk_common.skc_state == 12;
	this->bytes = (uint8_t *)(this->answer->head + this->answer->transport_header);
	this->tcp = (struct tcphdr *)this->bytes;
}

rawtp:net::net_dev_queue
/this->half_open && (this->bytes[13] & (TH_SYN | TH_ACK)) == (TH_SYN | TH_ACK) &&
    ours[ntohs(this->tcp->source)]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "send",
	    ntohs(this->tcp->source), ntohs(this->tcp->dest),
	    ntohl(this->tcp->seq), ntohl(this->tcp->ack_seq),
	    0, this->bytes[13], tcp_state_string[TCP_STATE_SYN_RECEIVED]);
}

/*
 * Counts every system call by number, with one probe for all: enabling and disabling the hundreds of probes
 * of syscall:::entry takes long.
 */
rawtp:raw_syscalls::sys_enter
/mine/
{
	@syscalls[arg1] = count();
}
