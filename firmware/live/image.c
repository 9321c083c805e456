/* Unsealing: layout, version, signature, then every field of the header and of the map records. */
#include "live/image.h"

#include "bpf/bpf.h"
#include "live/kinds.h"
#include "live/sha256.h"
#include "monocypher.h"

#define HEADER_SIZE sizeof(struct assay_image_header)

static bool refuse(struct image_refusal *refusal, uint32_t status, const char *what, const char *expected,
                   uint64_t seen)
{
    *refusal = (struct image_refusal){(uint16_t)status, what, expected, seen};
    return false;
}

/* Where the parts are; reads magic, abi and the sizes alone. */
static bool find_parts(const uint8_t *bytes, size_t size, struct image *image, struct image_refusal *refusal)
{
    if (size < HEADER_SIZE + ASSAY_SIGNATURE_SIZE || size > ASSAY_IMAGE_MAX) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "image size",
                      "a header, parts and a signature in 65536 bytes or less", size);
    }
    const struct assay_image_header *header = (const void *)bytes;
    if (header->magic != ASSAY_IMAGE_MAGIC)
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "magic", "0x54584241", header->magic);
    if (header->abi != ASSAY_ABI_VERSION)
        return refuse(refusal, ASSAY_STATUS_BAD_VERSION, "abi", "version 1", header->abi);
    if (header->map_count > BPF_MAX_MAPS)
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "map_count", "at most 8", header->map_count);
    if (header->code_size == 0 || header->code_size % 8 != 0 || header->code_size > BPF_MAX_SLOTS * 8) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "code_size", "a multiple of 8 from 8 to 32768",
                      header->code_size);
    }
    if (header->rodata_size % 8 != 0 || header->rodata_size > ASSAY_IMAGE_MAX) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "rodata_size", "a multiple of 8 up to 65536",
                      header->rodata_size);
    }
    size_t maps = header->map_count * sizeof(struct assay_image_map);
    if (size != HEADER_SIZE + maps + header->code_size + header->rodata_size + ASSAY_SIGNATURE_SIZE) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "image size",
                      "exactly header, maps, code, read-only data and signature", size);
    }
    image->header = header;
    image->maps = (const void *)(bytes + HEADER_SIZE);
    image->code = bytes + HEADER_SIZE + maps;
    image->rodata = image->code + header->code_size;
    return true;
}

/* True when a Text(16) field ends within its bytes and is padded with zeros alone. */
static bool is_name(const char name[16])
{
    size_t length = 0;
    while (length < 16 && name[length] > ' ' && name[length] < 0x7f)
        length++;
    for (size_t i = length; i < 16; i++) {
        if (name[i] != '\0')
            return false;
    }
    return length < 16;
}

static bool check_flags(const struct assay_image_header *header, struct image_refusal *refusal)
{
#ifdef ASSAY_TESTING
    /* The string that CI looks for: it must be in no release binary. */
    static const char marker[] = "testing images accepted";
    uint32_t known = ASSAY_IMAGE_FLAG_TESTING | ASSAY_IMAGE_FLAG_SKIP_VERIFY | ASSAY_IMAGE_FLAG_PLANT_FAULT |
                     ASSAY_IMAGE_FLAG_PLANT_OVERRUN;
    uint32_t plants = ASSAY_IMAGE_FLAG_PLANT_FAULT | ASSAY_IMAGE_FLAG_PLANT_OVERRUN;
    if ((header->flags & ~known) != 0)
        return refuse(refusal, ASSAY_STATUS_REFUSED_KIND, marker, "flags within 0xf", header->flags);
    if (header->flags != 0 && (header->flags & ASSAY_IMAGE_FLAG_TESTING) == 0) {
        return refuse(refusal, ASSAY_STATUS_REFUSED_KIND, marker, "TESTING beside any other flag",
                      header->flags);
    }
    if ((header->flags & plants) == plants) {
        return refuse(refusal, ASSAY_STATUS_REFUSED_KIND, marker, "one planted defect at most",
                      header->flags);
    }
    return true;
#else
    if (header->flags != 0) {
        return refuse(refusal, ASSAY_STATUS_REFUSED_KIND, "flags", "0: this is a release kernel",
                      header->flags);
    }
    return true;
#endif
}

static bool is_known_kind(uint32_t kind)
{
#define KNOWN(known, operations) kind == (known) ||
    return EXTENSION_KINDS(KNOWN) false;
#undef KNOWN
}

static bool check_header(const struct assay_image_header *header, struct image_refusal *refusal)
{
    if (header->reserved != 0)
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "reserved", "0", header->reserved);
    if (!is_known_kind(header->kind))
        return refuse(refusal, ASSAY_STATUS_REFUSED_KIND, "kind", EXTENSION_KINDS_TEXT, header->kind);
    if (!check_flags(header, refusal))
        return false;
    if (header->hook >= BPF_HOOK_COUNT)
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "hook", BPF_HOOKS_TEXT, header->hook);
    if (header->test_mem_size > TEST_MEM_MAX)
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "test_mem_size", "at most 960", header->test_mem_size);
    if (!bpf_hook_in(BPF_HOOKS_WITH_MEMORY, header->hook) && header->flags == 0 &&
        header->test_mem_size != 0) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "test_mem_size", "0 but for the test hook",
                      header->test_mem_size);
    }
    if (!is_name(header->name)) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "name", "at most 15 printable characters, then zeros",
                      (uint8_t)header->name[0]);
    }
    return true;
}

static bool check_maps(const struct image *image, struct image_refusal *refusal)
{
    for (uint32_t i = 0; i < image->header->map_count; i++) {
        const struct assay_image_map *map = &image->maps[i];
        if (map->reserved != 0)
            return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "a map's reserved", "0", map->reserved);
        if (!is_name(map->name)) {
            return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "a map's name",
                          "at most 15 printable characters, then zeros", (uint8_t)map->name[0]);
        }
        if (map->init_offset > image->header->rodata_size ||
            map->init_size > image->header->rodata_size - map->init_offset) {
            return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "a map's initial value",
                          "inside the read-only data", ((uint64_t)map->init_offset << 32) | map->init_size);
        }
        for (uint32_t j = 0; j < i; j++) {
            if (__builtin_memcmp(map->name, image->maps[j].name, sizeof(map->name)) == 0)
                return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "a map's name", "a name of its own", i);
        }
    }
    return true;
}

bool image_unseal(const uint8_t *bytes, size_t size, const uint8_t public_key[IMAGE_KEY_SIZE],
                  struct image *image, struct image_refusal *refusal)
{
    if (!find_parts(bytes, size, image, refusal))
        return false;
    size_t signed_size = size - ASSAY_SIGNATURE_SIZE;
    if (crypto_eddsa_check(bytes + signed_size, public_key, bytes, signed_size) != 0) {
        return refuse(refusal, ASSAY_STATUS_BAD_SIGNATURE, "signature",
                      "this kernel's key over all before it", signed_size);
    }
    if (!check_header(image->header, refusal) || !check_maps(image, refusal))
        return false;
    uint8_t id[SHA256_SIZE];
    sha256(bytes + HEADER_SIZE, signed_size - HEADER_SIZE, id);
    if (__builtin_memcmp(id, image->header->program_id, sizeof(id)) != 0) {
        return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "program_id",
                      "the SHA-256 of maps, code and read-only data", image->header->program_id[0]);
    }
    return true;
}
