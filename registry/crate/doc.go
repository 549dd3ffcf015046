// Package crate judges one published crate: cargo's publish body, the .crate archive, the
// Cargo.toml inside it, and the line of the index. It knows nothing of routes, accounts or
// databases.
//
// A publish goes like this:
//
//	upload, err := crate.Receive(folder, request.Body, request.ContentLength, 0)
//	defer upload.Discard()
//	release, err := upload.Inspect(crate.Origin{Index: indexURL}, crate.ArchiveLimits{})
//	// … judge token and ownership with release.Entry and upload.Checksum …
//	err = upload.Keep(finalPath)
//	line, err := release.Entry.Line()
//
// An error that the publisher caused is an [*Error], with a code and words for cargo's
// user; every other error is the server's own (a full disk, a broken connection).
//
// What the index says of a crate comes from the Cargo.toml inside the hashed archive, because a
// publish token binds the archive by its checksum and not the JSON beside it. The JSON has only
// to agree.
//
// Sources: The Cargo Book, "Registry Web API" and "Index Format"
// (https://doc.rust-lang.org/cargo/reference/registry-web-api.html, …/registry-index.html), and
// what cargo 1.95 was seen to send.
package crate
