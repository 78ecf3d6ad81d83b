package telemetry

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	"github.com/fairlead/fairlead/platform/resourcename"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

func summary(s *session.Session) *cobra.Command {
	var at span
	req := &telemetryv1.GetSummaryRequest{}
	cmd := &cobra.Command{
		Use:   "summary [NAME]",
		Short: "Sum up the requests of each version",
		Long: `Sums up the scoring requests of each version of an endpoint: how many, how they
ended, how long they took. The versions are compared with the control version, or
with the default one where there is no control, or with --baseline. Requests that
reached no version, for example those without a valid key, are under "-".`,
		Example: "  fairlead telemetry summary -n diabetes\n" +
			"  fairlead telemetry summary -n diabetes --vn versionb --since 24h -o json",
	}
	addName(s, cmd)
	at.bind(cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&req.Versions, "vn", nil, "only this version; repeat for more")
	fs.StringVar(&req.Baseline, "baseline", "", "the version that the others are compared with")
	fs.StringVar(&req.EndpointUid, "uid", "", "which endpoint of this name, where one was deleted and made again")
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		req.Name = t.name
		if req.StartTime, req.EndTime, err = at.read(cmd, s.Now()); err != nil {
			return err
		}
		now := standingOf(ctx, t)
		if req.GetBaseline() == "" {
			req.Baseline = now.baseline()
		}
		sum, err := t.client.Telemetry.GetSummary(ctx, req)
		if err == nil && len(sum.GetVersions()) == 0 {
			err = t.missed(ctx)
		}
		if err != nil {
			return err
		}
		return s.Print(output.Document{
			Value: sum,
			Names: versionNames(sum),
			Text:  func(text *output.Text) { summaryText(text, sum, now, req.GetBaseline()) },
		})
	})
	return cmd
}

func versionNames(sum *telemetryv1.Summary) []string {
	var names []string
	for _, v := range sum.GetVersions() {
		if v.GetVersion() != "" {
			names = append(names, v.GetVersion())
		}
	}
	return names
}

func summaryText(t *output.Text, sum *telemetryv1.Summary, now standing, baseline string) {
	t.Facts(
		output.Fact{Name: "Endpoint", Value: resourcename.Last(sum.GetName())},
		output.Fact{Name: "From", Value: output.Time(sum.GetStartTime())},
		output.Fact{Name: "To", Value: output.Time(sum.GetEndTime())},
		output.Fact{Name: "Also had this name", Value: strings.Join(sum.GetOtherEndpointUids(), ", ")},
	)
	t.Blank()
	if len(sum.GetVersions()) == 0 {
		t.Linef("no requests in this time")
		return
	}
	var rows, differences [][]string
	for _, v := range sum.GetVersions() {
		rows = append(rows, summaryRow(v, now.role(v.GetVersion())))
		if c := v.GetComparison(); c != nil && v.GetVersion() != "" {
			differences = append(differences, []string{
				v.GetVersion(), points(c.GetFailureRateDifference()),
				signed(c.GetP50Difference()), signed(c.GetP95Difference()), signed(c.GetP99Difference()),
			})
		}
	}
	if len(rows) > 1 {
		total := summaryRow(sum.GetTotal(), "")
		total[0] = "(all)"
		rows = append(rows, total)
	}
	t.Table([]string{"VERSION", "ROLE", "REQUESTS", "PER S", "SUCCESS", "P50", "P90", "P95", "P99", "MAX", "MEAN", "QUEUE P95", "EXEC P95", "CODES"}, rows)
	if len(differences) > 0 {
		t.Blank()
		t.Linef("compared with %s:", baseline)
		t.Table([]string{"VERSION", "FAILURES", "P50", "P95", "P99"}, differences)
	}
	if n := sum.GetTotal().GetDroppedRecords(); n > 0 {
		t.Blank()
		t.Linef("of %d requests no single record could be kept; they are counted above", n)
	}
}

func summaryRow(v *telemetryv1.VersionSummary, role string) []string {
	var codes []string
	for _, c := range v.GetCodes() {
		codes = append(codes, fmt.Sprintf("%d:%d", c.GetCode(), c.GetRequests()))
	}
	l := v.GetLatency()
	return []string{
		output.OrDash(v.GetVersion()), role, strconv.FormatInt(v.GetRequests(), 10), output.Number(v.GetRequestsPerSecond()),
		output.Percent(v.GetSuccessRate() * 100),
		took(l.GetP50()), took(l.GetP90()), took(l.GetP95()), took(l.GetP99()), took(l.GetMax()), took(l.GetMean()),
		took(v.GetQueueWait().GetP95()), took(v.GetExecution().GetP95()), strings.Join(codes, " "),
	}
}

// took writes a duration with about three digits.
func took(p *durationpb.Duration) string {
	d := p.AsDuration()
	switch size := d.Abs(); {
	case size >= 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case size >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case size >= 100*time.Millisecond:
		d = d.Round(time.Millisecond)
	case size >= 10*time.Millisecond:
		d = d.Round(100 * time.Microsecond)
	case size >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}

func signed(p *durationpb.Duration) string {
	if p.AsDuration() > 0 {
		return "+" + took(p)
	}
	return took(p)
}

// points writes a difference of rates in percentage points.
func points(difference float64) string {
	text := output.Number(difference*100) + " pp"
	if difference > 0 {
		return "+" + text
	}
	return text
}
