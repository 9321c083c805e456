/*
 * Telemetry of net_rx: exact counters and histograms, and two space-saving sketches (Metwally, Agrawal, El Abbadi:
 * "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005) of SKETCH_ENTRIES counters,
 * of which the TOP_ENTRIES largest are reported. A count is never below the true one, and exact while no more than
 * SKETCH_ENTRIES keys were seen. Every step is a bounded loop over a fixed table.
 */
#include "traffic/telemetry.h"

#include <stdbool.h>
#include <stddef.h>

#define SKETCH_ENTRIES 64u

#define ETHERNET_HEADER 14u
#define ETHERTYPE_IPV4  0x0800u
#define IPPROTO_ICMP    1u
#define IPPROTO_TCP     6u
#define IPPROTO_UDP     17u
#define IPV4_OFFSET     0x1fffu /* fragment offset bits of the flags field, RFC 791 section 3.1 */
#define TCP_SYN         0x02u
#define TCP_ACK         0x10u

struct sketch_entry {
    uint32_t key;
    uint32_t packets;    /* 0: unused */
    uint64_t port_bits;  /* one bit of 64 for each destination port seen, chosen by a hash */
};

struct sketch {
    struct sketch_entry entries[SKETCH_ENTRIES];
};

static struct {
    uint64_t rx_packets, rx_bytes, rx_malformed;
    uint64_t ipv4, tcp, udp, icmp, other, tcp_syn;
    uint64_t verdicts[4];
    uint32_t size_hist[ASSAY_HISTOGRAM_BUCKETS];
    uint32_t gap_hist[ASSAY_HISTOGRAM_BUCKETS];
    uint64_t last_arrival_ns;
    bool has_last_arrival;
    struct sketch sources, ports;
} seen;

static void clear(void *memory, size_t size)
{
    __builtin_memset(memory, 0, size);
}

void telemetry_reset(void)
{
    clear(&seen, sizeof(seen));
}

void telemetry_trace_begins(void)
{
    seen.has_last_arrival = false;
}

/* floor(log2(max(v, 1))), at most the last bucket. */
static uint32_t bucket_of(uint64_t value)
{
    uint32_t log2 = value == 0 ? 0 : 63u - (uint32_t)__builtin_clzll(value);
    return log2 < ASSAY_HISTOGRAM_BUCKETS ? log2 : ASSAY_HISTOGRAM_BUCKETS - 1;
}

/* The entry of `key`, its count raised by one: its own, a free one, or the smallest, whose count it takes over. */
static struct sketch_entry *sketch_count(struct sketch *sketch, uint32_t key)
{
    struct sketch_entry *least = &sketch->entries[0];
    for (uint32_t i = 0; i < SKETCH_ENTRIES; i++) {
        struct sketch_entry *entry = &sketch->entries[i];
        if (entry->packets != 0 && entry->key == key) {
            least = entry;
            break;
        }
        if (entry->packets < least->packets)
            least = entry;
    }
    if (least->packets == 0 || least->key != key) {
        least->key = key;
        least->port_bits = 0;
    }
    if (least->packets != UINT32_MAX)
        least->packets++;
    return least;
}

/* The same multiplicative hash as hash_bit() of the extensions' header. */
static uint64_t port_bit(uint32_t port)
{
    return 1ull << ((port * 0x9e3779b1u) >> 26);
}

static uint32_t be16(const uint8_t *p)
{
    return ((uint32_t)p[0] << 8) | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return (be16(p) << 16) | be16(p + 2);
}

/* Counts ports and flags of a TCP or UDP header of which `room` bytes are there; false when it is cut off. */
static bool count_transport(const uint8_t *header, uint32_t room, uint32_t protocol,
                            struct sketch_entry *source)
{
    if (room < (protocol == IPPROTO_TCP ? 20u : 8u))
        return false;
    uint32_t dport = be16(header + 2);
    source->port_bits |= port_bit(dport);
    (void)sketch_count(&seen.ports, dport);
    if (protocol == IPPROTO_TCP && (header[13] & (TCP_SYN | TCP_ACK)) == TCP_SYN)
        seen.tcp_syn++;
    return true;
}

/* `packet` is the IPv4 header and what follows, `room` bytes; false when the packet is malformed. */
static bool count_ipv4(const uint8_t *packet, uint32_t room)
{
    if (room < 20 || packet[0] >> 4 != 4)
        return false;
    uint32_t header = (packet[0] & 15u) * 4;
    uint32_t total = be16(packet + 2);
    if (header < 20 || total < header || total > room)
        return false;
    seen.ipv4++;
    struct sketch_entry *source = sketch_count(&seen.sources, be32(packet + 12));
    uint32_t protocol = packet[9];
    switch (protocol) {
    case IPPROTO_TCP: seen.tcp++; break;
    case IPPROTO_UDP: seen.udp++; break;
    case IPPROTO_ICMP: seen.icmp++; return true;
    default: seen.other++; return true;
    }
    if ((be16(packet + 6) & IPV4_OFFSET) != 0)
        return true; /* a later fragment carries no transport header */
    return count_transport(packet + header, total - header, protocol, source);
}

void telemetry_packet(const uint8_t *frame, uint32_t length, uint64_t arrival_ns)
{
    seen.rx_packets++;
    seen.rx_bytes += length;
    seen.size_hist[bucket_of(length)]++;
    if (seen.has_last_arrival)
        seen.gap_hist[bucket_of(arrival_ns - seen.last_arrival_ns)]++;
    seen.last_arrival_ns = arrival_ns;
    seen.has_last_arrival = true;
    if (length < ETHERNET_HEADER)
        seen.rx_malformed++;
    else if (be16(frame + 12) != ETHERTYPE_IPV4)
        seen.other++;
    else if (!count_ipv4(frame + ETHERNET_HEADER, length - ETHERNET_HEADER))
        seen.rx_malformed++;
}

void telemetry_verdict(uint32_t verdict)
{
    seen.verdicts[verdict <= XDP_TX ? verdict : XDP_ABORTED]++;
}

/* The entry of `sketch` that comes next in the report after `previous` (null: the first), or null at the end. */
static const struct sketch_entry *sketch_next(const struct sketch *sketch,
                                              const struct sketch_entry *previous)
{
    const struct sketch_entry *best = NULL;
    for (uint32_t i = 0; i < SKETCH_ENTRIES; i++) {
        const struct sketch_entry *entry = &sketch->entries[i];
        if (entry->packets == 0)
            continue;
        bool after = previous == NULL || entry->packets < previous->packets ||
                     (entry->packets == previous->packets && entry->key > previous->key);
        bool before = best == NULL || entry->packets > best->packets ||
                      (entry->packets == best->packets && entry->key < best->key);
        if (after && before)
            best = entry;
    }
    return best;
}

static void fill_tops(struct assay_telemetry_response *out)
{
    const struct sketch_entry *entry = NULL;
    for (uint32_t i = 0; i < ASSAY_TOP_ENTRIES && (entry = sketch_next(&seen.sources, entry)) != NULL; i++) {
        out->top_sources[i].saddr = entry->key;
        out->top_sources[i].packets = entry->packets;
        uint32_t ports = 0;
        for (uint64_t bits = entry->port_bits; bits != 0; bits &= bits - 1)
            ports++;
        out->top_sources[i].distinct_ports = ports;
    }
    entry = NULL;
    for (uint32_t i = 0; i < ASSAY_TOP_ENTRIES && (entry = sketch_next(&seen.ports, entry)) != NULL; i++) {
        out->top_ports[i].dport = entry->key;
        out->top_ports[i].packets = entry->packets;
    }
}

void telemetry_fill(struct assay_telemetry_response *out)
{
    clear(out, sizeof(*out));
    out->rx_packets = seen.rx_packets;
    out->rx_bytes = seen.rx_bytes;
    out->rx_malformed = seen.rx_malformed;
    out->ipv4 = seen.ipv4;
    out->tcp = seen.tcp;
    out->udp = seen.udp;
    out->icmp = seen.icmp;
    out->other = seen.other;
    out->tcp_syn = seen.tcp_syn;
    out->verdict_aborted = seen.verdicts[XDP_ABORTED];
    out->verdict_drop = seen.verdicts[XDP_DROP];
    out->verdict_pass = seen.verdicts[XDP_PASS];
    out->verdict_tx = seen.verdicts[XDP_TX];
    for (uint32_t i = 0; i < ASSAY_HISTOGRAM_BUCKETS; i++) {
        out->size_hist[i] = seen.size_hist[i];
        out->gap_hist[i] = seen.gap_hist[i];
    }
    fill_tops(out);
}
