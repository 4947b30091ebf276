/*
 * For Linux kernels whose functions cannot be traced: the kernel's own trace points.
 *
 * ours[port]: the local ports of the traced command. They are learnt where the command acts itself,
 * since segments are also sent and received by whoever happens to run when a packet is handled.
 */

/* The command and what it starts. On Linux progenyof() alone overlooks all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

/* The command begins to listen. */
sdt:sock::inet_sock_set_state
/arg2 == TCP_STATE_LISTEN && mine/
{
	ours[((struct sock *)arg0)->__sk_common.skc_num] = 1;
}

/* Every packet that is sent, TCP or not, with its headers complete. */
rawtp:net::net_dev_queue
{
	this->skb = (struct sk_buff *)arg0;
	this->ip = (uint8_t *)(this->skb->head + this->skb->network_header);
	this->version = *this->ip >> 4;
	this->is_tcp = (this->version == 4 && this->ip[9] == IPPROTO_TCP) ||
	    (this->version == 6 && this->ip[6] == IPPROTO_TCP);
	this->header = (uint8_t *)(this->skb->head + this->skb->transport_header);
	this->tcp = (struct tcphdr *)this->header;
	this->port = this->is_tcp ? ntohs(this->tcp->source) : 0;
}

/* The command opens a connection. */
rawtp:net::net_dev_queue
/this->is_tcp && (this->header[13] & (TH_SYN | TH_ACK)) == TH_SYN && mine/
{
	ours[this->port] = 1;
}

/* The socket is missing from resets that answer for no connection. A connection that is half open
   has a state of its own in Linux, 12, which is SYN-RECEIVED to everybody else. */
rawtp:net::net_dev_queue
/this->is_tcp && ours[this->port]/
{
	this->state = this->skb->sk == NULL ? TCP_STATE_CLOSED :
	    this->skb->sk->__sk_common.skc_state == 12 ? TCP_STATE_SYN_RECEIVED :
	    this->skb->sk->__sk_common.skc_state;
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "send",
	    this->port, ntohs(this->tcp->dest), ntohl(this->tcp->seq), ntohl(this->tcp->ack_seq),
	    this->skb->len - (uint32_t)(this->header - this->skb->data) - ((this->header[12] >> 4) << 2),
	    this->header[13], tcp_state_string[this->state]);
}

/* A segment is received on an established connection; its data begin with the header. */
rawtp:tcp::tcp_probe
/ours[((struct sock *)arg0)->__sk_common.skc_num]/
{
	this->received = (struct sk_buff *)arg1;
	this->bytes = (uint8_t *)this->received->data;
	this->segment = (struct tcphdr *)this->bytes;
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "receive",
	    ntohs(this->segment->source), ntohs(this->segment->dest),
	    ntohl(this->segment->seq), ntohl(this->segment->ack_seq),
	    this->received->len - ((this->bytes[12] >> 4) << 2),
	    this->bytes[13], tcp_state_string[((struct sock *)arg0)->__sk_common.skc_state]);
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
