/* Linux has a tracepoint where it handles a segment that it has received. */
rawtp:tcp::tcp_probe
{
    this->th = (struct tcphdr *)((struct sk_buff *)arg1)->data;
    printf("%u %u %s",
        ntohl(this->th->seq),
        ntohl(this->th->ack_seq),
        tcp_state_string[((struct sock *)arg0)->__sk_common.skc_state]);
}

syscall:::entry
/execname == "ipc-benchmark"/
{
    @syscalls[probefunc] = count();
}
