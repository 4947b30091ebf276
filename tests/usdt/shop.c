/* A program with probes of its own, for tests/usdt.rs: it answers a few requests once its input ends. */
#include <stdio.h>
#include <string.h>
#include "shop.h"

int main(void)
{
	static char *paths[] = {"/", "/apples", "/pears"};

	while (getchar() != EOF)
		;
	for (unsigned long number = 1; number <= 3; number++) {
		char *path = paths[number - 1];
		/* Now, since a probe can read only memory that has been touched. */
		int length = (int)strlen(path);

		SHOP_REQUEST_BEGIN(number, path);
		SHOP_REQUEST_END(number, -length);
	}
	return 0;
}
