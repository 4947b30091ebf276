/*
 * For Linux kernels that cannot trace functions: uses the kernel's tracepoints.
 *
 * ours[port] holds the local ports of the traced command. The script learns them where the command itself
 * acts, because segments are also sent and received in the context of whatever happens to run.
 */

/* The command and what it starts. On Linux progenyof() alone misses all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

/* The command starts to listen. */
sdt:sock::inet_sock_set_state
/arg2 == TCP_STATE_LISTEN && mine/
{
	ours[((struct sock *)arg0)->__sk_common.skc_num] = 1;
}

/* Every packet that is sent, TCP or not, with complete headers. */
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

/* Resets without a connection have no socket. Linux has a separate state, 12, for a half-open
   connection; everybody else calls it SYN-RECEIVED. */
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

/* A segment is received on an established connection; its data start with the header. */
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
 * Counts every system call by number, with one probe for all: enabling and disabling the hundreds of probes
 * of syscall:::entry takes long.
 */
rawtp:raw_syscalls::sys_enter
/mine/
{
	@syscalls[arg1] = count();
}
