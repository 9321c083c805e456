/* SPDX-License-Identifier: Apache-2.0 */
/* C's bool. */
#ifndef ASSAY_STDBOOL_H
#define ASSAY_STDBOOL_H

#define bool  _Bool
#define true  1
#define false 0

#endif
