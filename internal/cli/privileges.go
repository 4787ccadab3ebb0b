package cli

import "github.com/spf13/cobra"

// ofOwner is what verbs take that look at what stays attached.
const ofOwner = `to be the user who attached it, mostly root, and no capability; but CAP_SYS_ADMIN to be
told the types of maps.`

// privileges are what each verb takes, by its path. What each kind of programs does stands
// in docs/privileges.md.
var privileges = map[string]string{
	"skep run": `in the kernel CAP_BPF, with CAP_NET_ADMIN for networking and CAP_PERFMON for tracing,
or root; 'skep inspect OBJECT' says which. In skep's own machine nothing.`,
	"skep check": `nothing. With --kernel host, CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, to ask the running
kernel.`,
	"skep dump":       "nothing.",
	"skep inspect":    "nothing.",
	"skep build":      "nothing.",
	"skep vmlinux":    "nothing.",
	"skep bench":      "nothing; to measure Linux as well, what the program takes.",
	"skep features":   "nothing; it says what the privileges that it has allow.",
	"skep ps":         ofOwner,
	"skep stop":       ofOwner,
	"skep map":        ofOwner,
	"skep map ls":     ofOwner,
	"skep map dump":   ofOwner,
	"skep map set":    ofOwner,
	"skep map delete": ofOwner,
	"skep map watch":  ofOwner,
}

// tellPrivileges adds to each verb's help what it takes.
func tellPrivileges(cmd *cobra.Command) {
	if needs, ok := privileges[cmd.CommandPath()]; ok {
		if cmd.Long == "" {
			cmd.Long = cmd.Short + "."
		}
		cmd.Long += "\n\nNeeds: " + needs
	}
	for _, sub := range cmd.Commands() {
		tellPrivileges(sub)
	}
}
