// Package enroll holds what an account trusts, and how that trust begins, changes and ends.
//
// An account's trust at a registry is a keyset: a short text that lists every key, versioned,
// each version naming the hash of the one before.
//
//	regkey keyset v1
//	registry: sparse+https://crates.example.com/index/
//	account: crates-team
//	version: 3
//	previous: sha256:<64 hex digits: the hash of version 2's text>
//	issued: 2026-11-22T09:12:00Z
//	key: k4.public.AAAA… can=manage,publish,yank,owners,read
//	key: k3.public.CCCC… can=read until=2026-12-01T00:00:00Z crates="foo-*,bar"
//	revoked: k4.pid.DDDD…
//
// A revocation is a second, smaller document. It ends one key and can add no trust.
//
//	regkey revocation v1
//	registry: sparse+https://crates.example.com/index/
//	key: k4.pid.…
//	reason: lost
//
// Grammar, for both: every line ends in one newline; fields come in the order shown, each once
// (key and revoked: any number, sorted by key id, each id once); printable ASCII only. Version 1
// has no "previous" line. "closed: yes" may follow "issued" and says that the account ends.
// Operations in "can" keep the order manage, publish, yank, owners, read. Times are whole seconds
// with Z. Hex digits are lower-case, numbers have no leading zero, and ids are compared byte by
// byte. There is one encoding: what [ParseKeyset] takes, [Keyset.Encode] returns.
//
//   - registry: an index URL of at most 512 bytes, "http://" or "https://" after an optional
//     "sparse+", without spaces, quotes and backslashes
//   - account: 1 to 64 of a-z, 0-9 and "-"
//   - version: 1 to 1000000000
//   - until: from that second on the key may do nothing
//   - crates: 1 to 100 patterns, each at most 64 letters, digits, "-" and "_" with an optional "*"
//     behind them, which matches any rest, or "*" alone. Case does not count, nor which of "-"
//     and "_" it is. No two patterns mean the same; they keep the order in which they were given.
//   - reason: lost, compromised, superseded or unspecified
//
// A keyset has at most 100 keys and 400 revoked ones, none of which is a key of it too. A text has
// at most 40 KiB, a note 60 KiB and 100 signatures; a revocation has one signature. The hash of a
// version is that of its text, the last newline included.
//
// Documents travel as C2SP signed notes (c2sp.org/signed-note): the text, an empty line, and one
// line for each signature, sorted by id, each signer once, with the signer's key id as name:
//
//	— k4.pid.… base64(4-byte key hash ‖ signature)
//
// What is signed is not the text but 79 bytes: "regkey note v1", a newline and the SHA-512 of
// the text. An Ed25519 key in hardware takes its message whole, and so never sees a long one. A
// message that begins with "r" can't be a cargo token's, which begins with byte 4 or 5, so one
// key can sign both. The signature types are 0xff ‖ "regkey ed25519" (32-byte key) and
// 0xff ‖ "regkey p384" (49-byte compressed key; r‖s over the SHA-384 of the 79 bytes, s at most
// n/2).
//
// Whether version n+1 may follow version n is decided by one function, [Standing.Accept], at
// the registry and at every client. The client's half, [Lifecycle], pins the newest keyset that it
// has verified and refuses an older or a forked one.
package enroll
