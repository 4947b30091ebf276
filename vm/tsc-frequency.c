/* Prints how often the processor's time-stamp counter counts in a millisecond. */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC_RAW, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

int main(void) {
  double began = now();
  unsigned long long from = __rdtsc();
  nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
  double ended = now();
  printf("%.0f\n", (__rdtsc() - from) / (ended - began));
}
