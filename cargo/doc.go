// Package cargo is what regkey has to know of cargo: the protocol that cargo speaks with a credential
// provider ([ServeProvider]), and cargo's configuration, read as cargo reads it and edited without
// touching anything else in the file.
package cargo
