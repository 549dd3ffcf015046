// Package token mints and verifies the tokens with which cargo proves to a registry who asks
// for one operation: PASETO public tokens as in RFC 3231 of rust-lang/rfcs ("Cargo asymmetric
// tokens"), in two formats that follow from the algorithm of the key.
//
//	key algorithm   header       signature over the PAE, bytes           key ids
//	Ed25519         v4.public.   Ed25519 of the message itself, 64       k4.pid.
//	P-384           v3.public.   ECDSA with SHA-384, r‖s, 96             k3.pid.
//
// A token is text, sent alone as the value of the Authorization header:
//
//	token     = header base64url( payload signature ) "." base64url( footer )
//	header    = "v4.public." | "v3.public."
//	base64url = RFC 4648, section 5, without padding, line breaks or spare bits
//	payload   = a JSON object, the claims
//	footer    = a JSON object: url, and kip or kid or both with one value
//
// It has at most [MaxSize] bytes. What is signed is the pre-authentication encoding (PAE) of
// PASETO: the number of pieces and then each piece behind its length, numbers as 8 bytes, little
// end first. The pieces are header, payload, footer and an empty implicit assertion; those of
// v3.public begin with the signing key as a compressed point.
//
// # Claims
//
//	iat        when it was signed, RFC 3339
//	sub        the subject that the registry has given to the key, if it has given one
//	mutation   "publish", "yank", "unyank" or "owners"; without it the token is for reading
//	name       the crate, for every mutation
//	vers       its version, for publish, yank and unyank
//	cksum      SHA-256 of the crate file, 64 lower-case hex digits, for publish
//	challenge  what the registry asked to have signed
//	v          1, or left out
//	custom     anything; we put {"jti": 32 hex digits} there, 128 random bits
//
// [Mint] writes them in this order and leaves v out; [Parse] takes any order and any offset of iat.
// A claim that does not belong to the operation is refused on both sides, and so are an empty, null
// or repeated claim and one that is not in this list: RFC 3231 keeps custom for additions, and a
// claim that a registry ignored might be one by which the signer meant to limit the token. A number
// other than 1 in v is the way in which a later RFC would announce a change, so it parses and
// [Verifier] refuses it.
//
// The footer says which registry the token is for (url, the index URL exactly as cargo has it,
// "sparse+" included) and which key signed it. RFC 3231 calls that member kid, cargo's own
// implementation wrote kip: both are minted, either is accepted.
//
// An example, with its three parts decoded:
//
//	v4.public.
//	{"iat":"2026-11-22T09:12:00.000000001Z","mutation":"yank","name":"demo","vers":"1.0.0",
//	 "custom":{"jti":"000102030405060708090a0b0c0d0e0f"}} and 64 bytes of signature
//	{"url":"sparse+https://crates.example.com/index/","kip":"k4.pid.…","kid":"k4.pid.…"}
//
// # What a registry does
//
// [Verifier] holds every rule. [Verifier.Authenticate] judges the Authorization header alone,
// before a body is read, and [Grant.Authorize] compares it with the request once that is known:
// crate, version, and checksum as the registry has computed it. [Grant.Recheck] asks
// again for the key when the change is about to be committed.
//
// # Replay
//
// A mutation token serves once. It is remembered by the SHA-256 of its PAE and not of its text,
// because for every ECDSA signature (r, s) anybody can compute a second one, (r, n−s), that
// verifies too.
package token
