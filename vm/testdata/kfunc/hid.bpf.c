// SPDX-License-Identifier: Apache-2.0
/* A fix for an input device: of its reports, its descriptor, and what is sent to it. */
#include "kfunc.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

enum hid_report_type { HID_INPUT_REPORT, HID_OUTPUT_REPORT, HID_FEATURE_REPORT };
enum hid_class_request { HID_REQ_GET_REPORT = 1, HID_REQ_SET_REPORT = 9 };

struct hid_device {
	u32 vendor, product;
};

struct hid_bpf_ctx {
	struct hid_device *hid;
	u32 allocated_size;
	union {
		int retval;
		int size;
	};
};

struct hid_bpf_ops {
	int hid_id;
	u32 flags;
	int (*hid_device_event)(struct hid_bpf_ctx *ctx, enum hid_report_type type, u64 source);
	int (*hid_rdesc_fixup)(struct hid_bpf_ctx *ctx);
	int (*hid_hw_request)(struct hid_bpf_ctx *ctx, unsigned char number, enum hid_report_type type,
			      enum hid_class_request request, u64 source);
};

struct bpf_struct_ops_common_value {
	u32 refcnt, state;
};

struct bpf_struct_ops_hid_bpf_ops {
	struct bpf_struct_ops_common_value common;
	struct hid_bpf_ops data __attribute__((aligned(64)));
};

#pragma clang attribute pop

/* So that the object's types are like those of a kernel that has the structure. */
struct bpf_struct_ops_hid_bpf_ops *linux_value;

extern u8 *hid_bpf_get_data(struct hid_bpf_ctx *ctx, u32 offset, const unsigned long rdwr_buf_size) __ksym;
extern int hid_bpf_hw_request(struct hid_bpf_ctx *ctx, u8 *buf, unsigned long buf__sz, enum hid_report_type type,
			      enum hid_class_request request) __ksym;
extern int hid_bpf_try_input_report(struct hid_bpf_ctx *ctx, enum hid_report_type type, u8 *buf,
				    const unsigned long buf__sz) __ksym;

/* Turns the wheel round, drops what is not of report 1, and puts a click in before a third byte that is 9. */
SEC("struct_ops/hid_device_event")
int event(u64 *args)
{
	struct hid_bpf_ctx *ctx = (void *)args[0];
	u8 *report = hid_bpf_get_data(ctx, 0, 4), click[2] = { 1, 2 };

	if (!report || hid_bpf_get_data(ctx, ctx->allocated_size, 1))
		return -22;
	if (report[0] != 1)
		return -1;
	report[1] = -report[1];
	if (report[2] == 9)
		OUT(0, hid_bpf_try_input_report(ctx, HID_INPUT_REPORT, click, sizeof(click)));
	OUT(1, ctx->size);
	return report[3];
}

SEC("struct_ops/hid_rdesc_fixup")
int descriptor(u64 *args)
{
	struct hid_bpf_ctx *ctx = (void *)args[0];
	u8 *data = hid_bpf_get_data(ctx, 0, 4096);

	if (!data || ctx->hid->vendor != 0x46d)
		return 0;
	data[ctx->size & 2047] = 0xc0; /* the end of a collection, which is missing */
	return ctx->size + 1;
}

SEC("struct_ops.s/hid_hw_request")
int request(u64 *args)
{
	struct hid_bpf_ctx *ctx = (void *)args[0];
	u8 get[3] = { 7 };

	OUT(0, hid_bpf_hw_request(ctx, get, sizeof(get), HID_FEATURE_REPORT, HID_REQ_GET_REPORT));
	OUT(1, hid_bpf_hw_request(ctx, get, sizeof(get), 3, HID_REQ_GET_REPORT));
	OUT(2, hid_bpf_hw_request(ctx, get, sizeof(get), HID_FEATURE_REPORT, 4));
	return 0;
}

SEC(".struct_ops.link")
struct hid_bpf_ops fix = {
	.hid_device_event = (void *)event,
	.hid_rdesc_fixup = (void *)descriptor,
	.hid_hw_request = (void *)request,
};
