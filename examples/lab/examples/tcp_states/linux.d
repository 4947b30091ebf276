/*
 * Prints each change of a state of the command's TCP sockets: the time, the socket's address, its local and
 * remote port, the state before and after.
 *
 * A state may change while whatever happens to run handles a packet. So the script learns the sockets where the
 * command itself acts: when it listens, and when it opens a connection. A socket that comes from a listening one
 * has its port. port[] and ours[] hold what was learnt.
 */

inline int mine = pid == $target || ppid == $target || progenyof($target);

sdt:sock::inet_sock_set_state
{
	this->sock = (struct sock *)arg0;
	this->local = this->sock->__sk_common.skc_num;
	this->remote = ntohs(this->sock->__sk_common.skc_dport);
}

sdt:sock::inet_sock_set_state
/this->sock->sk_protocol == IPPROTO_TCP && arg2 == TCP_STATE_LISTEN && mine/
{
	port[this->local] = 1;
	ours[arg0] = 1;
}

sdt:sock::inet_sock_set_state
/this->sock->sk_protocol == IPPROTO_TCP && arg2 == TCP_STATE_SYN_SENT && mine/
{
	ours[arg0] = 1;
}

sdt:sock::inet_sock_set_state
/arg1 == TCP_STATE_LISTEN && arg2 == TCP_STATE_SYN_RECEIVED && port[this->local]/
{
	ours[arg0] = 1;
}

sdt:sock::inet_sock_set_state
/ours[arg0]/
{
	printf("%d %p %d %d %s %s", timestamp, arg0, this->local, this->remote,
	    tcp_state_string[arg1], tcp_state_string[arg2]);
}

/* Another socket may get its address. */
sdt:sock::inet_sock_set_state
/ours[arg0] && arg2 == TCP_STATE_CLOSED/
{
	ours[arg0] = 0;
}
