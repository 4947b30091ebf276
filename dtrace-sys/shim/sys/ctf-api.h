#include <ctf-api.h>
