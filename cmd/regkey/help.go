// The texts of --help.

package main

const appHelp = `regkey has cargo sign each request to a registry, instead of sending a secret.
A key stays on this machine, or in a YubiKey; registries know its public half alone.

Usage:
   regkey COMMAND [options]

The usual sequence:
   regkey init laptop                                    make a key
   regkey enroll --registry lab --account crates-team    have a registry trust it
   cargo publish --registry lab                          cargo signs from now on
   regkey status                                         see what is trusted where
   regkey approve CODE                                   let another machine of yours in
   regkey rotate --registry lab                          replace the key by a new one
   regkey revoke --registry lab laptop --reason lost     end a key

Commands:{{range .VisibleCommands}}{{if ne .Name "help"}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}{{end}}

"regkey COMMAND --help" explains one. Flags may stand anywhere; after "--" nothing is a flag.
Without a terminal nothing is ever asked: a missing answer is an error that names its flag.

Environment:
   REGKEY_HOME              where regkey keeps its files ($XDG_CONFIG_HOME/regkey)
   REGKEY_PASSPHRASE_FILE   a file that holds the passphrase of the keys; and
                            REGKEY_NEW_PASSPHRASE_FILE: of a backup, or of a key that is
                            protected anew
   REGKEY_PIN_FILE          a file that holds the PIN of the hardware token; and _PUK_FILE,
                            _NEW_PIN_FILE, _NEW_PUK_FILE: see "regkey hardware setup --help"
   REGKEY_AGENT             "off": no agent is used, and none is started (see "regkey agent --help")
   CARGO_HOME               where cargo keeps its files (~/.cargo)
   NO_COLOR                 questions without colours; TERM=dumb: line by line

Exit codes:
   0  done
   1  failed
   2  the command line can't be carried out, or an answer is missing
   3  refused by the registry
   4  cancelled
   5  something is left to do by hand, as printed
   6  something was begun and is not complete, or was sent and its answer is not known: the same
      command goes on, for a rotation also "regkey rotate --resume" or "--abandon"; from
      "regkey status --check": something wants attention
   7  the registry contradicts what this machine knows of it, and is not believed
`

const commandHelp = `{{.HelpName}}: {{.Usage}}

Usage:
   {{.HelpName}}{{if .ArgsUsage}} {{.ArgsUsage}}{{end}}{{if .VisibleFlags}} [options]{{end}}

{{.Description}}

Options:{{range .VisibleFlags}}
   {{.}}{{end}}
`

const groupHelp = `{{.HelpName}}: {{.Usage}}

Usage:
   {{.HelpName}} COMMAND [options]

{{.Description}}

Commands:{{range .VisibleCommands}}
   {{.Name}}{{"\t"}}{{.Usage}}{{end}}
`
