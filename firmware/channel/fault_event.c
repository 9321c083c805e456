/* The FAULT event of a dying kernel, sent from the fault path. */
#include <string.h>

#include "channel/events.h"
#include "channel/frames.h"
#include "drivers/uart.h"
#include "kernel/fault.h"

_Static_assert(FAULT_BACKTRACE_MAX == sizeof(((struct assay_fault_event *)0)->backtrace) / sizeof(uint64_t),
               "the schema has another depth of backtrace");

/*
 * No locks, no interrupts, any stack: buffers are static, and a second fault on the way simply starts again. The
 * leading 0x00 ends the frame that was being sent, if one was.
 */
void fault_report_send(const struct fault_report *report)
{
    static struct assay_fault_event event;
    static uint8_t wire[1 + FRAME_WIRE_MAX];
    memset(&event, 0, sizeof(event));
    event.core = report->core;
    event.vector = report->kind;
    event.esr = report->esr;
    event.far = report->far;
    event.elr = report->elr;
    event.spsr = report->spsr;
    event.sp = report->sp;
    memcpy(event.x, report->x, sizeof(event.x));
    uint32_t depth =
        report->backtrace_len < FAULT_BACKTRACE_MAX ? report->backtrace_len : FAULT_BACKTRACE_MAX;
    memcpy(event.backtrace, report->backtrace, depth * sizeof(report->backtrace[0]));
    size_t text_size = report->text_len < sizeof(report->text) ? report->text_len : sizeof(report->text);
    struct frame_part parts[] = {{&event, sizeof(event)}, {report->text, text_size}};
    wire[0] = 0;
    size_t size = events_encode_now(ASSAY_EVENT_FAULT, parts, 2, wire + 1, sizeof(wire) - 1);
    uart_write(wire, 1 + size);
}
