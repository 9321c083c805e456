/* The pool of code. */
#include "live/code.h"

#include "kernel/memory.h"

struct pool code_pool;

void code_pool_init(void)
{
    pool_init(&code_pool, JIT_VA, JIT_SIZE, PAGE_SIZE);
}
