/*
 * Traces the TCP segments of a command and the states of its connections, and counts its system calls from its
 * first listen or connect on.
 * For Linux: it uses the kernel's tracepoints, which every kernel has.
 *
 * ours[port] holds the local ports of the command. The script learns them where the command itself acts,
 * because segments are also sent in the context of whatever happens to run.
 */
#pragma D option quiet

/* The command and what it starts. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

/* The command starts to listen. */
sdt:sock::inet_sock_set_state
/arg2 == TCP_STATE_LISTEN && mine/
{
	ours[((struct sock *)arg0)->__sk_common.skc_num] = 1;
	has_begun = 1;
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
	has_begun = 1;
}

/* A segment is sent. Resets without a connection have no socket. Linux has a separate state, 12, for a
   half-open connection; everybody else calls it SYN-RECEIVED. */
rawtp:net::net_dev_queue
/this->is_tcp && ours[this->port]/
{
	this->state = this->skb->sk == NULL ? TCP_STATE_CLOSED :
	    this->skb->sk->__sk_common.skc_state == 12 ? TCP_STATE_SYN_RECEIVED :
	    this->skb->sk->__sk_common.skc_state;
	printf("timestamp=%d source=%u destination=%u seq=%u ack=%u length=%u flags=%u state=%s\n", timestamp,
	    (uint16_t)this->port, (uint16_t)ntohs(this->tcp->dest),
	    (uint32_t)ntohl(this->tcp->seq), (uint32_t)ntohl(this->tcp->ack_seq),
	    (uint32_t)(this->skb->len - (uint32_t)(this->header - this->skb->data) -
	    ((this->header[12] >> 4) << 2)),
	    (uint8_t)this->header[13], tcp_state_string[this->state]);
}

/* Counts system calls by their names. */
syscall:::entry
/has_begun && mine/
{
	@syscalls[probefunc] = count();
}
