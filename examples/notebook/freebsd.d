fbt::tcp_do_segment:entry
{
    printf("%u %u %s",
        (unsigned int)args[1]->th_seq,
        (unsigned int)args[1]->th_ack,
        tcp_state_string[args[3]->t_state]);
}

syscall:::entry
/execname == "ipc-benchmark"/
{
    @syscalls[probefunc] = count();
}
