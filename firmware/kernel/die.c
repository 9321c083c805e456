/* The end of a core: gathers the report, sends it, parks, and repeats it when the host asks. */
#include "kernel/die.h"

#include <string.h>

#include "board.h"
#include "drivers/intc.h"
#include "kernel/kernel.h"

/* One report for a first fault, one for a fault while reporting it. Static: a dying kernel's stack is short. */
static struct fault_report reports[2];

/* A frame record is two words (AAPCS64 6.4.6): the caller's frame pointer, the return address. */
static uint32_t walk(const struct trap_frame *frame, uint64_t *out)
{
    uint64_t fp = frame->x[29];
    uint32_t count = 0;
    out[count++] = frame->elr;
    while (count < FAULT_BACKTRACE_MAX) {
        const uint64_t *record = (const uint64_t *)fp;
        if ((fp & 0xfu) != 0 || fp - STACKS_VA > STACKS_SIZE - 16u || !vm_readable(fp) || record[1] == 0)
            break;
        out[count++] = record[1];
        if (record[0] <= fp) /* records climb: anything else is damage, or a loop */
            break;
        fp = record[0];
    }
    return count;
}

static void fill(struct fault_report *report, enum fault_kind kind, const struct trap_frame *frame,
                 const char *message)
{
    memset(report, 0, sizeof(*report));
    report->core = this_cpu()->core;
    report->kind = (uint32_t)kind;
    memcpy(report->x, frame->x, sizeof(report->x));
    report->sp = frame->sp;
    report->elr = frame->elr;
    report->spsr = frame->spsr;
    report->esr = frame->esr;
    report->far = frame->far;
    if (message != NULL) {
        format(report->text, sizeof(report->text), "panic: %s", message);
    } else if (kind == FAULT_FIQ) {
        format(report->text, sizeof(report->text), "FIQ, though no source of one is enabled");
    } else {
        static const char *const prefixes[] = {
            [FAULT_SYNC] = "",  [FAULT_SERROR] = "",
            [FAULT_FIQ] = "",   [FAULT_NESTED] = "in an exception handler: ",
            [FAULT_PANIC] = "", [FAULT_USER] = "from EL0: ",
        };
        int used = format(report->text, sizeof(report->text), "%s", prefixes[kind]);

        fault_describe(frame->esr, frame->far, report->text + used, (uint32_t)(FAULT_TEXT_MAX - used));
    }
    report->text_len = (uint32_t)strlen(report->text);
    report->backtrace_len = walk(frame, report->backtrace);
}

/*
 * Sleeps until bytes come; a frame end among them asks for the report again. The controller must still signal: the
 * interrupt being handled is ended first, since its priority would hold the UART's back.
 */
static _Noreturn void park(const struct fault_report *report)
{
    struct cpu *cpu = this_cpu();
    timer_cancel();
    pmu_pause();
    intc_disable(IRQ_TIMER);
    if (cpu->active_line != INTC_NONE) {
        intc_end(cpu->active_line);
        cpu->active_line = INTC_NONE;
    }
    for (;;) {
        wait_for_interrupt();
        bool asked = false;
        int byte;
        while ((byte = uart_poll_byte()) >= 0)
            asked = asked || byte == 0;
        if (asked)
            fault_report_send(report);
        uint32_t line = intc_acknowledge();
        if (line != INTC_NONE) {
            if (line != IRQ_UART)
                intc_disable(line);
            intc_end(line);
        }
    }
}

static _Noreturn void silence(void)
{
    pmu_pause();
    for (;;)
        wait_for_interrupt();
}

_Noreturn void die(enum fault_kind kind, const struct trap_frame *frame, const char *message)
{
    struct cpu *cpu = this_cpu();
    irq_disable();
    if (cpu->faults >= 2u)
        silence();
    struct fault_report *report = &reports[cpu->faults];

    cpu->faults++;
    fill(report, kind, frame, message);
    fault_report_send(report);
    park(report);
}

_Noreturn void panic(const char *message)
{
    struct trap_frame frame = {0};
    __asm__ volatile("mov %0, x29" : "=r"(frame.x[29]));
    frame.elr = (uint64_t)__builtin_return_address(0);
    frame.sp = (uint64_t)__builtin_frame_address(0);
    die(FAULT_PANIC, &frame, message);
}

static void say(const char *text)
{
    uart_write((const uint8_t *)text, strlen(text));
}

/* Without a channel: text on the line. */
__attribute__((weak)) void fault_report_send(const struct fault_report *report)
{
    char line[384];
    format(line, sizeof(line),
           "\r\nFAULT core %u: %s\r\nesr %016lx far %016lx elr %016lx spsr %08lx sp %016lx\r\n", report->core,
           report->text, report->esr, report->far, report->elr, report->spsr, report->sp);
    say(line);
    for (uint32_t i = 0; i < 31u; i++) {
        format(line, sizeof(line), "x%02u %016lx%s", i, report->x[i],
               i % 4u == 3u || i == 30u ? "\r\n" : "  ");
        say(line);
    }
    say("backtrace");
    for (uint32_t i = 0; i < report->backtrace_len; i++) {
        format(line, sizeof(line), " %016lx", report->backtrace[i]);
        say(line);
    }
    say("\r\n");
}
