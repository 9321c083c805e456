/* Traces: TraceRecord headers, each followed by its frame and zeros up to a multiple of 8 bytes. */
#include "traffic/trace.h"

static size_t padded(uint32_t length)
{
    return ((size_t)length + 7) & ~(size_t)7;
}

static struct assay_trace_record record_at(const struct trace *trace, size_t offset)
{
    struct assay_trace_record record;
    __builtin_memcpy(&record, trace->bytes + offset, sizeof(record));
    return record;
}

/* The mistake in the record at `offset`, or null; *seen is the offending number. */
static const char *record_fault(const struct trace *trace, size_t offset, uint64_t *seen)
{
    size_t left = trace->size - offset;
    *seen = left;
    if (left < sizeof(struct assay_trace_record))
        return "a record of 16 bytes";
    struct assay_trace_record record = record_at(trace, offset);
    *seen = record.length;
    if (record.length < TRACE_FRAME_MIN || record.length > TRACE_FRAME_MAX)
        return "a frame of 14 to 1514 bytes";
    *seen = record.reserved;
    if (record.reserved != 0)
        return "reserved 0";
    *seen = left;
    if (left - sizeof(record) < padded(record.length))
        return "the whole frame, padded to 8 bytes";
    const uint8_t *frame = trace->bytes + offset + sizeof(record);
    for (size_t i = record.length; i < padded(record.length); i++) {
        *seen = frame[i];
        if (frame[i] != 0)
            return "padding of zeros";
    }
    *seen = record.arrival_ns;
    if (trace->packets > 0 && record.arrival_ns < trace->last_ns)
        return "an arrival time not below the one before";
    return NULL;
}

bool trace_open(struct trace *trace, const uint8_t *bytes, size_t size, struct trace_error *error)
{
    *trace = (struct trace){.bytes = bytes, .size = size};
    size_t offset = 0;
    while (offset < size) {
        uint64_t seen = 0;
        const char *expected = record_fault(trace, offset, &seen);
        if (expected != NULL) {
            *error = (struct trace_error){trace->packets, offset, expected, seen};
            return false;
        }
        struct assay_trace_record record = record_at(trace, offset);
        if (trace->packets == 0)
            trace->first_ns = record.arrival_ns;
        trace->last_ns = record.arrival_ns;
        trace->packets++;
        offset += sizeof(record) + padded(record.length);
    }
    return true;
}

bool trace_next(const struct trace *trace, size_t *offset, struct trace_packet *packet)
{
    if (*offset >= trace->size)
        return false;
    struct assay_trace_record record = record_at(trace, *offset);
    packet->arrival_ns = record.arrival_ns;
    packet->length = record.length;
    packet->frame = trace->bytes + *offset + sizeof(record);
    *offset += sizeof(record) + padded(record.length);
    return true;
}
