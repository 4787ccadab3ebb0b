// SPDX-License-Identifier: Apache-2.0
/* Objects in lists, trees and kptrs; the given numbers say what is done. */
#include "kfunc.h"

struct bpf_list_head { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { u32 opaque[1]; } __attribute__((aligned(4)));

extern void *bpf_obj_new_impl(u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *p, void *meta) __ksym;
extern void *bpf_refcount_acquire_impl(void *p, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, u64 off) __ksym;
extern struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool (*less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, u64 off) __ksym;
extern struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
extern struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
static void *(*const bpf_kptr_xchg)(void *field, void *ptr) = (void *)194;

struct item {
	u64 key;
	struct bpf_list_node list;
	struct bpf_rb_node tree;
	struct bpf_refcount refs;
};

#define new_item() ((struct item *)bpf_obj_new_impl(__builtin_btf_type_id(*(struct item *)0, 0), 0))
#define drop(p) bpf_obj_drop_impl(p, 0)

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head head __decl("contains:item:list");
private(A) struct bpf_rb_root root __decl("contains:item:tree");

struct value {
	u64 n;
	struct item __tag(kptr) *kept;
};

struct {
	__uint(type, 2 /* BPF_MAP_TYPE_ARRAY */);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, struct value);
} keep SEC(".maps");

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct item, tree)->key < container_of(b, struct item, tree)->key;
}

/* Does one thing: in[0] says what, in[1] is a key. */
SEC("tc")
int step(void *ctx)
{
	struct bpf_list_node *l = 0;
	struct bpf_rb_node *r = 0;
	struct item *n, *other;
	struct value *v;
	u32 slot = in[1] & 7;

	OUT(0, -1);
	switch (in[0]) {
	case 0:
	case 1:
	case 2:
		n = new_item();
		if (!n)
			return 1;
		n->key = in[1];
		bpf_spin_lock(&lock);
		if (in[0] == 0)
			OUT(0, bpf_list_push_front_impl(&head, &n->list, 0, 0));
		else if (in[0] == 1)
			OUT(0, bpf_list_push_back_impl(&head, &n->list, 0, 0));
		else
			OUT(0, bpf_rbtree_add_impl(&root, &n->tree, less, 0, 0));
		bpf_spin_unlock(&lock);
		break;
	case 3:
	case 4:
		bpf_spin_lock(&lock);
		l = in[0] == 3 ? bpf_list_pop_front(&head) : bpf_list_pop_back(&head);
		bpf_spin_unlock(&lock);
		if (l) {
			n = container_of(l, struct item, list);
			OUT(0, n->key);
			drop(n);
		}
		break;
	case 5:
		bpf_spin_lock(&lock);
		r = bpf_rbtree_first(&root);
		if (r) {
			OUT(1, container_of(r, struct item, tree)->key);
			r = bpf_rbtree_remove(&root, r);
		}
		bpf_spin_unlock(&lock);
		if (r) {
			n = container_of(r, struct item, tree);
			OUT(0, n->key);
			drop(n);
		}
		break;
	case 6:
		v = bpf_map_lookup_elem(&keep, &slot);
		if (!v)
			return 2;
		n = new_item();
		if (!n)
			return 1;
		n->key = in[1];
		n = bpf_kptr_xchg(&v->kept, n);
		if (n) {
			OUT(0, n->key);
			drop(n);
		}
		break;
	case 7: /* in the list and the tree, and twice in the tree */
		n = new_item();
		if (!n)
			return 1;
		n->key = in[1];
		other = bpf_refcount_acquire_impl(n, 0);
		bpf_spin_lock(&lock);
		OUT(0, bpf_list_push_front_impl(&head, &n->list, 0, 0));
		if (other)
			OUT(1, bpf_rbtree_add_impl(&root, &other->tree, less, 0, 0));
		bpf_spin_unlock(&lock);
		break;
	case 8:
		v = bpf_map_lookup_elem(&keep, &slot);
		if (!v)
			return 2;
		n = bpf_kptr_xchg(&v->kept, 0);
		if (!n)
			return 3;
		other = bpf_refcount_acquire_impl(n, 0);
		bpf_spin_lock(&lock);
		OUT(0, bpf_rbtree_add_impl(&root, &n->tree, less, 0, 0));
		bpf_spin_unlock(&lock);
		if (other) {
			OUT(1, other->key);
			bpf_spin_lock(&lock);
			OUT(2, bpf_rbtree_add_impl(&root, &other->tree, less, 0, 0));
			bpf_spin_unlock(&lock);
		}
		break;
	}
	return 0;
}
