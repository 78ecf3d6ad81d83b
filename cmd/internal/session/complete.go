package session

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead/fairlead/cmd/internal/client"
)

// completionBudget is how long a person who pressed the tab key waits.
const completionBudget = 300 * time.Millisecond

// Lister gives the values that a word can have.
type Lister func(ctx context.Context, c *client.Client, parent string) ([]string, error)

// Complete completes values from the API; a server that is away or slow gives none.
func (s *Session) Complete(list Lister) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		defer s.close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completionBudget)
		defer cancel()
		c, err := s.Client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		parent, err := s.Parent()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		values, err := list(ctx, c, parent)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		matching := values[:0]
		for _, v := range values {
			if strings.HasPrefix(v, word) {
				matching = append(matching, v)
			}
		}
		return matching, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteFlag completes a flag's value from the API.
func (s *Session) CompleteFlag(cmd *cobra.Command, flag string, list Lister) {
	// It fails only for a flag that cmd does not have, which the tests would show.
	_ = cmd.RegisterFlagCompletionFunc(flag, s.Complete(list))
}
