/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

#define HUGE_PAGE ((size_t)2 << 20)

void fl_freep(void *pointer_to_pointer)
{
	void *p;

	memcpy(&p, pointer_to_pointer, sizeof p);
	free(p);
	p = NULL;
	memcpy(pointer_to_pointer, &p, sizeof p);
}

void fl_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

void fl_buf_free(struct fl_buf *b)
{
	free(b->data);
	*b = FL_BUF(b->max);
}

void fl_buf_reset(struct fl_buf *b)
{
	b->len = 0;
}

int fl_buf_reserve(struct fl_buf *b, size_t more)
{
	size_t need, cap;
	char *data;

	if (more > b->max || b->len > b->max - more)
		return fl_fail(-E2BIG, "a buffer would grow over its limit of %zu bytes", b->max);
	need = b->len + more;
	if (need <= b->cap)
		return 0;
	cap = FL_MAX(b->cap * 2, need);
	cap = FL_MAX(cap, (size_t)256);
	cap = FL_MIN(cap, b->max);
	data = realloc(b->data, cap);
	if (!data)
		return fl_fail(-ENOMEM, "no memory for a buffer of %zu bytes", cap);
	b->data = data;
	b->cap = cap;
	return 0;
}

int fl_buf_add(struct fl_buf *b, const void *p, size_t n)
{
	int r = fl_buf_reserve(b, n);

	if (r)
		return r;
	if (n)
		memcpy(b->data + b->len, p, n);
	b->len += n;
	return 0;
}

int fl_buf_adds(struct fl_buf *b, const char *s)
{
	return fl_buf_add(b, s, strlen(s));
}

int fl_buf_printf(struct fl_buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n, r;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	r = n < 0 ? fl_fail(-EINVAL, "a text cannot be formatted") : fl_buf_reserve(b, (size_t)n + 1);
	if (!r) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
	return r;
}

const char *fl_buf_cstr(struct fl_buf *b)
{
	/* One byte over the ceiling is allowed for the terminator. */
	if (b->len == b->cap) {
		char *data = realloc(b->data, b->len + 1);

		if (!data)
			return "";
		b->data = data;
		b->cap = b->len + 1;
	}
	b->data[b->len] = '\0';
	return b->data;
}

void *fl_map_alloc(size_t len)
{
	char *p, *aligned;
	size_t total = len + HUGE_PAGE, head;

	if (len < HUGE_PAGE) {
		p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		return p == MAP_FAILED ? NULL : p;
	}
	p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	aligned = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	head = (size_t)(aligned - p);
	/* Give back what alignment left over, to the page. */
	if (head)
		munmap(p, head);
	len = (len + 4095) & ~(size_t)4095;
	if (total - head > len)
		munmap(aligned + len, total - head - len);
	madvise(aligned, len, MADV_HUGEPAGE);
	return aligned;
}

void fl_map_free(void *p, size_t len)
{
	if (p)
		munmap(p, (len + 4095) & ~(size_t)4095);
}
