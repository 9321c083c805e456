/* Called by the vectors: interrupts go to their drivers, faults first to containment and then to the report. */
#include "board.h"
#include "drivers/intc.h"
#include "kernel/die.h"
#include "kernel/kernel.h"

/* More lines than any board has: a stuck controller must not keep the core here for ever. */
#define IRQS_AT_ONCE_MAX 64u

void trap_sync(struct trap_frame *frame);
void trap_irq(struct trap_frame *frame);
_Noreturn void trap_fiq(struct trap_frame *frame);
_Noreturn void trap_serror(struct trap_frame *frame);
_Noreturn void trap_user(struct trap_frame *frame);
_Noreturn void trap_nested(struct trap_frame *frame);

__attribute__((weak)) bool live_contain_fault(struct trap_frame *frame)
{
    (void)frame;
    return false;
}

/* Synchronous exception of kernel code. Returns, with `frame` rewritten, only when it was contained. */
void trap_sync(struct trap_frame *frame)
{
    struct cpu *cpu = this_cpu();
    cpu->in_exception++;
    if (!live_contain_fault(frame))
        die(FAULT_SYNC, frame, NULL);
    cpu->in_exception--;
}

static void dispatch(uint32_t line, struct trap_frame *frame)
{
    switch (line) {
    case IRQ_UART: uart_interrupt(); break;
    case IRQ_TIMER: timer_interrupt(frame); break;
    default: /* unexpected: disable it permanently */
        intc_disable(line);
        this_cpu()->spurious_irqs++;
        break;
    }
}

/* Interrupt of kernel code. The handler may rewrite `frame` (a program abandoned by its alarm). */
void trap_irq(struct trap_frame *frame)
{
    struct cpu *cpu = this_cpu();
    cpu->in_exception++;
    for (uint32_t i = 0; i < IRQS_AT_ONCE_MAX; i++) {
        uint32_t line = intc_acknowledge();
        if (line == INTC_NONE)
            break;
        cpu->irqs++;
        cpu->active_line = line;
        dispatch(line, frame);
        cpu->active_line = INTC_NONE;
        intc_end(line);
    }
    cpu->in_exception--;
}

_Noreturn void trap_fiq(struct trap_frame *frame)
{
    die(FAULT_FIQ, frame, NULL);
}

_Noreturn void trap_serror(struct trap_frame *frame)
{
    die(FAULT_SERROR, frame, NULL);
}

_Noreturn void trap_user(struct trap_frame *frame)
{
    die(FAULT_USER, frame, NULL);
}

_Noreturn void trap_nested(struct trap_frame *frame)
{
    die(FAULT_NESTED, frame, NULL);
}
