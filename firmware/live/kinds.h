/* The kinds of extension that this kernel accepts. A new kind is a line here and a file with its operations. */
#ifndef ASSAY_LIVE_KINDS_H
#define ASSAY_LIVE_KINDS_H

/* X(kind, operations): an ASSAY_IMAGE_KIND_*, and its struct extension_ops. */
#define EXTENSION_KINDS(X) X(ASSAY_IMAGE_KIND_BPF, program_ops)

/* The same as text, for a refusal. */
#define EXTENSION_KINDS_TEXT "1 (eBPF)"

#endif
