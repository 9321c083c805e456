/*
 * A main program for the kernel base alone: one-byte commands on the UART, an answer line each. It stands in for
 * the channel when a test builds with `probe` (suites/board/base/test_kernel_base.py).
 */
#include <string.h>

#include "arch/arm64/boot_map.h"
#include "kernel/kernel.h"

static volatile uint64_t alarms;
static volatile bool abandoned;
static bool contain;
static uint64_t sum_before;

static void say(const char *text)
{
    uart_write((const uint8_t *)text, strlen(text));
}

#define TELL(...)                                                                                            \
    do {                                                                                                     \
        char line[256];                                                                                      \
        format(line, sizeof(line), __VA_ARGS__);                                                             \
        say(line);                                                                                           \
    } while (0)

static void count_alarm(struct trap_frame *frame, void *arg)
{
    (void)frame;
    alarms += (uint64_t)arg;
}

/* Rewrites the interrupted frame to go on at `arg`, as a watchdog does. */
static void abandon(struct trap_frame *frame, void *arg)
{
    abandoned = true;
    frame->elr = (uint64_t)arg;
}

bool live_contain_fault(struct trap_frame *frame)
{
    if (contain && ESR_EC(frame->esr) == EC_BRK) {
        frame->elr += 4u;
        frame->x[0] = 42u;
        return true;
    }
    return false;
}

static void tell_status(void)
{
    TELL("status board %s cores %x counted %u timed %u overhead %u hz %lu irqs %lu rx %lu overruns %u drops "
         "%u\n",
         build_board, cpu_cores_online(), (uint32_t)pmu_counts_instructions(), (uint32_t)pmu_takes_time(),
         pmu_overhead(), timer_frequency_hz(), (uint64_t)this_cpu()->irqs, uart_stats()->rx_bytes,
         uart_stats()->overruns, uart_stats()->ring_drops);
}

static void tell_build_id(void)
{
    char hex[2u * BUILD_ID_SIZE + 1u];
    for (uint32_t i = 0; i < BUILD_ID_SIZE; i++)
        format(hex + 2u * i, 3, "%02x", build_id()[i]);
    TELL("build id %s\n", hex);
}

/* 1000 turns of a two-instruction loop. */
static void measure(void)
{
    struct pmu_window begin = pmu_begin();
    struct pmu_cost empty = pmu_end(begin);
    uint64_t turns = 1000;
    begin = pmu_begin();
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(turns) : : "cc");
    struct pmu_cost loop = pmu_end(begin);
    TELL("measure empty %lu loop %lu empty_ns %lu loop_ns %lu\n", empty.instructions, loop.instructions,
         empty.ns, loop.ns);
}

static void alarm(void)
{
    uint64_t before = timer_now_ns();
    uint64_t end = before + 50000000ull;
    alarms = 0;
    timer_arm_ns(1000000, count_alarm, (void *)1ull);
    while (alarms == 0 && timer_now_ns() < end) {
    }
    TELL("alarm fired %lu after %lu\n", (uint64_t)alarms, timer_now_ns() - before);
}

static void landing(void)
{
    TELL("runaway abandoned %u\n", abandoned);
    timer_cancel();
}

/* Loops for ever; the alarm moves the interrupted frame to the loop's exit. */
static void runaway(void)
{
    void *out = &&out;
    abandoned = false;
    timer_arm_ns(1000000, abandon, out);
    __asm__ goto volatile("1: b 1b" : : : "memory" : out);
out:
    landing();
}

typedef uint64_t code(uint64_t);

static void jit(void)
{
    static const uint32_t add_one[] = {0x91000400u, 0xd65f03c0u}; /* add x0, x0, #1; ret */
    uintptr_t at = JIT_VA + 4096u - 4u;                           /* over a page boundary */
    bool written = vm_write_code(at, add_one, sizeof(add_one));
    uint64_t result = ((code *)at)(41);
    TELL("jit written %u result %lu alias %u readable %u writable %u outside %u\n", written, result,
         vm_alias_mapped(), vm_readable(at), vm_writable(at),
         vm_write_code(JIT_VA + JIT_SIZE - 4u, add_one, 8));
}

static void protection(void)
{
    extern const uint8_t kernel_text_start[], kernel_text_end[], kernel_rodata_end[];
    uintptr_t stack = STACKS_VA + KERNEL_STACK_BASE;

    TELL("protection text %u%u rodata %u%u data %u%u guard %u stack %u low %u\n",
         vm_readable((uintptr_t)kernel_text_start), vm_writable((uintptr_t)kernel_text_start),
         vm_readable((uintptr_t)kernel_text_end), vm_writable((uintptr_t)kernel_text_end),
         vm_readable((uintptr_t)kernel_rodata_end), vm_writable((uintptr_t)kernel_rodata_end),
         vm_readable(stack - 1u), vm_writable(stack), vm_readable(0x40200000ull));
}

static void pools(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MAP_POOL_SIZE; i += 8u)
        sum |= *(uint64_t *)(map_pool() + i);
    memset(map_pool(), 0xa5, MAP_POOL_SIZE);
    memset(trace_pool() + TRACE_POOL_SIZE - 8u, 0x5a, 8);
    memset(arena_pool() + ARENA_SIZE - 8u, 0x5a, 8);
    memset(blob_pool() + BLOB_POOL_SIZE - 8u, 0x5a, 8);
    TELL("pools clear %u\n", sum == 0);
}

static volatile uint64_t depth_max = UINT64_MAX;

__attribute__((noinline, optnone)) static uint64_t recurse(uint64_t depth)
{
    volatile uint64_t frame[64];
    frame[depth % 64u] = depth;
    if (depth == depth_max)
        return 0;
    return recurse(depth + 1u) + frame[(depth + 1u) % 64u];
}

static void overflow_exception_stack(struct trap_frame *frame, void *arg)
{
    (void)frame;
    sum_before = recurse((uint64_t)arg);
}

static void brk(void)
{
    register uint64_t x0 __asm__("x0") = 0;
    contain = true;
    __asm__ volatile("brk #7" : "+r"(x0));
    contain = false;
    TELL("brk contained %lu\n", x0);
}

static void command(uint8_t what)
{
    switch (what) {
    case 's': tell_status(); break;
    case 'b': tell_build_id(); break;
    case 'm': measure(); break;
    case 'a': alarm(); break;
    case 'j': jit(); break;
    case 'p': protection(); break;
    case 'z': pools(); break;
    case 'c': brk(); break;
    case 'i': TELL("count instructions %lu\n", pmu_instructions()); break;
    case 'o': power_off();
    case 'r': power_reset();
    case 'N': *(volatile uint64_t *)8 = 1; break;
    case 'U': __asm__ volatile("udf #1"); break;
    case 'F': __asm__ volatile(".inst 0x1e604000"); break; /* fmov d0, d0 */
    case 'W': *(volatile uint32_t *)(uintptr_t)command = 0; break;
    case 'X': ((code *)(uintptr_t)map_pool())(0); break;
    case 'S': sum_before = recurse(0); break;
    case 'E':
        timer_arm_ns(1000, overflow_exception_stack, 0);
        for (;;) {
        }
    case 'A': panic("asked for");
    case 'R': runaway(); break;
    default: break;
    }
}

void channel_init(void)
{
    TELL("probe el %lu cores %x after %lu\n", boot_entry_el, cpu_cores_online(), timer_now_ns());
}

bool channel_poll(void)
{
    uint8_t bytes[64];
    size_t count = uart_read(bytes, sizeof(bytes));
    for (size_t i = 0; i < count; i++)
        command(bytes[i]);
    return count != 0;
}
