package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairlead/fairlead/cmd/internal/failure"
)

// Usagef says that the command line is wrong, and where to read how it is right.
func Usagef(cmd *cobra.Command, format string, args ...any) error {
	return failure.New(failure.Usage, format, args...).
		ThenTry(cmd.CommandPath() + " --help")
}

// Group makes a command that only holds others: alone it shows its help, with an
// unknown word it says what was probably meant.
func Group(cmd *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return UnknownCommand(cmd, args[0])
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(subcommands...)
	return cmd
}

// UnknownCommand says that there is no such command and what was probably meant.
func UnknownCommand(cmd *cobra.Command, word string) error {
	f := failure.New(failure.Usage, "%q is not a command of %s", word, cmd.CommandPath())
	for _, s := range cmd.SuggestionsFor(word) {
		f = f.ThenTry(cmd.CommandPath() + " " + s)
	}
	if len(f.Next) == 0 {
		f = f.ThenTry(cmd.CommandPath() + " --help")
	}
	return f
}

// FlagError says what is wrong with a flag. After a word that is no command, flags
// are unknown only because the word is.
func FlagError(cmd *cobra.Command, err error) error {
	if words := cmd.Flags().Args(); cmd.HasSubCommands() && len(words) > 0 {
		return UnknownCommand(cmd, words[0])
	}
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return Usagef(cmd, "%v", err)
	}
	flag, want := invalid.GetFlag(), invalid.Unwrap().Error()
	switch flag.Value.Type() {
	case "float64":
		want = "must be a number"
	case "int", "int32", "int64":
		want = "must be a whole number"
	case "bool":
		want = "must be true or false"
	case "duration":
		want = "must be a duration such as 90s"
	}
	return Usagef(cmd, "%s %s: %s", flagWord(cmd, flag.Name), invalid.GetValue(), want)
}

// One gives the value of a flag that names something, or of the one argument.
func One(cmd *cobra.Command, flag, what string, args []string) (string, error) {
	value, err := cmd.Flags().GetString(flag)
	if err != nil {
		return "", err
	}
	switch {
	case value == "" && len(args) == 0:
		return "", Usagef(cmd, "say which %s: %s", what, flagWord(cmd, flag))
	case value != "" && len(args) > 0:
		return "", Usagef(cmd, "unexpected argument %q", args[0])
	case len(args) > 1:
		return "", Usagef(cmd, "unexpected argument %q", args[1])
	case value == "":
		value = args[0]
	}
	return value, nil
}

// Required checks that the named flags have a value.
func Required(cmd *cobra.Command, flags ...string) error {
	var missing []string
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f == nil || f.Value.String() == "" || f.Value.String() == "[]" {
			missing = append(missing, flagWord(cmd, name))
		}
	}
	if len(missing) > 0 {
		return Usagef(cmd, "missing %s", strings.Join(missing, ", "))
	}
	return nil
}

// NoArgs refuses arguments.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef(cmd, "unexpected argument %q", args[0])
	}
	return nil
}

func flagWord(cmd *cobra.Command, name string) string {
	f := cmd.Flags().Lookup(name)
	if f == nil {
		return "--" + name
	}
	if f.Shorthand != "" {
		return fmt.Sprintf("-%s/--%s", f.Shorthand, f.Name)
	}
	return "--" + f.Name
}

// Pairs reads k=v words, as given to flag.
func Pairs(cmd *cobra.Command, flag string, words []string) (map[string]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	pairs := make(map[string]string, len(words))
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || key == "" {
			return nil, Usagef(cmd, "--%s %s: must be KEY=VALUE", flag, w)
		}
		pairs[key] = value
	}
	return pairs, nil
}
