/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signs what comes on standard input, for tests/system/test_s3.py, which compares with botocore: a request a line,
 * fields ended by tabs: method, path, s3 or general, region, service, date, key, secret, payload's digest, then qNAME
 * and VALUE or hNAME and VALUE. Prints the canonical request with \n as | and the header, a tab between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/sigv4.h"

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		struct fl_pair query[32], headers[32];
		struct fl_buf canonical FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20),
					out FL_CLEANUP(fl_buf_free) = FL_BUF(1u << 20);
		char *at = line, *fixed[9], *name, *value;
		struct fl_sigv4 q = {.query = query, .headers = headers};

		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < 9; i++)
			if (!(fixed[i] = strsep(&at, "\t")))
				return 1;
		q.method = fixed[0];
		q.path = fixed[1];
		q.s3 = !strcmp(fixed[2], "s3");
		q.region = fixed[3];
		q.service = fixed[4];
		q.date = fixed[5];
		q.key_id = fixed[6];
		q.secret = fixed[7];
		q.payload_sha256 = fixed[8];
		while ((name = strsep(&at, "\t")) && (value = strsep(&at, "\t"))) {
			if (*name == 'q' && q.query_n < 32)
				query[q.query_n++] = (struct fl_pair){name + 1, value};
			else if (q.headers_n < 32)
				headers[q.headers_n++] = (struct fl_pair){name + 1, value};
		}
		if (fl_sigv4_canonical(&q, &canonical) || fl_sigv4_authorization(&q, &out))
			return 1;
		for (size_t i = 0; i < canonical.len; i++)
			putchar(canonical.data[i] == '\n' ? '|' : canonical.data[i]);
		printf("\t%s\n", fl_buf_cstr(&out));
	}
	free(line);
	return 0;
}
