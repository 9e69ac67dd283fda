/* list.h - intrusive doubly linked ring. An empty list points to itself; a node not in a list is {NULL}. */
#ifndef SBC_BASE_LIST_H
#define SBC_BASE_LIST_H

#include "sbc/base/str.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}

static inline bool list_linked(const struct list *n)
{
	return n->next != NULL;
}

/* at the end */
static inline void list_push(struct list *l, struct list *n)
{
	n->prev = l->prev;
	n->next = l;
	l->prev->next = n;
	l->prev = n;
}

static inline void list_push_front(struct list *l, struct list *n)
{
	list_push(l->next, n);
}

/* does nothing when n is in no list */
static inline void list_del(struct list *n)
{
	if (!n->next)
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = NULL;
}

/* first node taken out, NULL when empty */
static inline struct list *list_pop(struct list *l)
{
	struct list *n = l->next;

	if (n == l)
		return NULL;
	list_del(n);
	return n;
}

/* moves all of src to the end of dst */
static inline void list_splice(struct list *dst, struct list *src)
{
	if (list_empty(src))
		return;
	src->next->prev = dst->prev;
	dst->prev->next = src->next;
	src->prev->next = dst;
	dst->prev = src->prev;
	list_init(src);
}

#define list_entry(n, type, member) container_of(n, type, member)
/* the body may delete n itself, nothing else */
#define list_each(n, l) \
	for (struct list *n = (l)->next, *n##_next = n->next; n != (l); n = n##_next, n##_next = n->next)

#endif
