// Package backup writes the pairs of a store to a file, and restores them to a store of any
// kind.
//
// # Format
//
// A backup is a tar archive, compressed with gzip, of these files in this order:
//
//	meta.json          Meta: the format and its version, and where the pairs are from
//	data/000001.jsonl  the first pairs, one in each line, in the order of their keys
//	data/000002.jsonl  the next pairs, and so on
//	end.json           End: the number of pairs and their digest
//	SHA256SUMS         the SHA-256 of each file before, as sha256sum writes it
//
// A line is a JSON object. Its fields are "k", the key; "v", the value in base64; "c" and "m",
// the created and the modified index; and, if the pair expires, "t", the number of seconds from
// the time in meta.json until then. A key that is not UTF-8 is in the field "kb", in base64,
// instead of "k". A file with lines has at most 8 MiB, unless it is a single line.
//
// The archive is followed by an empty gzip member. The field in its header, with the ID "KV", is
// the SHA-256 of all bytes before the member. It shows every change of a backup, even one
// without an effect on its content. A backup that was unpacked and packed again is refused.
//
// Readers ignore fields that they do not know, and refuse other versions of the format.
package backup
