/*
 * The windows of the TCP connections that the command opens, whenever an acknowledgement arrives, just before
 * the kernel handles it. The tracepoint fires in the context of whatever happens to run, so the script learns
 * the connections where the command itself connects.
 */

sdt:sock::inet_sock_set_state
/arg2 == TCP_STATE_SYN_SENT && pid == $target/
{
	ours[arg0] = 1;
}

rawtp:tcp::tcp_probe
/ours[arg0]/
{
	this->connection = (struct tcp_sock *)arg0;
	printf("%d %d %u %u %u %u %u", timestamp, ((struct sock *)arg0)->__sk_common.skc_num,
	    this->connection->snd_una, this->connection->snd_nxt, this->connection->snd_wnd,
	    this->connection->snd_cwnd, this->connection->mss_cache);
}
