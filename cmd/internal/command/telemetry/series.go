package telemetry

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/cmd/internal/session"
	telemetryv1 "github.com/fairlead/fairlead/proto/gen/fairlead/telemetry/v1"
)

// metrics are all that can be asked for, by the words of the command line:
// latency-p95 for METRIC_LATENCY_P95.
func metrics() map[string]telemetryv1.QueryTimeSeriesRequest_Metric {
	all := map[string]telemetryv1.QueryTimeSeriesRequest_Metric{}
	for name, number := range telemetryv1.QueryTimeSeriesRequest_Metric_value {
		if number != 0 {
			word := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "METRIC_")), "_", "-")
			all[word] = telemetryv1.QueryTimeSeriesRequest_Metric(number)
		}
	}
	return all
}

func series(s *session.Session) *cobra.Command {
	var at span
	var step time.Duration
	var metric, by string
	req := &telemetryv1.QueryTimeSeriesRequest{}
	words := slices.Sorted(maps.Keys(metrics()))
	cmd := &cobra.Command{
		Use:   "series [NAME]",
		Short: "Show a metric over time",
		Example: "  fairlead telemetry series -n diabetes --metric latency-p95 --by version --since 24h --step 1h\n" +
			"  fairlead telemetry series -n diabetes --metric requests --by code -o json",
	}
	addName(s, cmd)
	at.bind(cmd)
	fs := cmd.Flags()
	fs.StringVar(&metric, "metric", "requests", "one of "+strings.Join(words, ", "))
	fs.StringVar(&by, "by", "", "a column for each version or each code; empty means one for all")
	fs.DurationVar(&step, "step", 0, "how long each line is, from 1s; 0 means about 60 lines")
	fs.StringSliceVar(&req.Versions, "vn", nil, "only this version; repeat for more")
	_ = cmd.RegisterFlagCompletionFunc("metric", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = s.Run(func(ctx context.Context, args []string) error {
		t, err := find(s, cmd, args)
		if err != nil {
			return err
		}
		var ok bool
		if req.Metric, ok = metrics()[metric]; !ok {
			return session.Usagef(cmd, "--metric %s: must be one of %s", metric, strings.Join(words, ", "))
		}
		switch by {
		case "":
		case "version":
			req.GroupBy = telemetryv1.QueryTimeSeriesRequest_GROUP_BY_VERSION
		case "code":
			req.GroupBy = telemetryv1.QueryTimeSeriesRequest_GROUP_BY_CODE
		default:
			return session.Usagef(cmd, "--by %s: must be version or code", by)
		}
		req.Name = t.name
		if step != 0 {
			req.Step = durationpb.New(step)
		}
		if req.StartTime, req.EndTime, err = at.read(cmd, s.Now()); err != nil {
			return err
		}
		r, err := t.client.Telemetry.QueryTimeSeries(ctx, req)
		if err == nil && len(r.GetSeries()) == 0 {
			err = t.missed(ctx)
		}
		if err != nil {
			return err
		}
		return s.Print(output.Document{Value: r, Text: func(text *output.Text) { seriesText(text, r, metric, by) }})
	})
	return cmd
}

// seriesText writes a line for each time and a column for each series.
func seriesText(t *output.Text, r *telemetryv1.QueryTimeSeriesResponse, metric, by string) {
	headers := []string{"TIME"}
	lines := map[string][]string{}
	for i, one := range r.GetSeries() {
		switch by {
		case "version":
			headers = append(headers, output.OrDash(one.GetVersion()))
		case "code":
			headers = append(headers, strconv.Itoa(int(one.GetCode())))
		default:
			headers = append(headers, strings.ToUpper(metric))
		}
		for _, p := range one.GetPoints() {
			at := output.Time(p.GetTime())
			if lines[at] == nil {
				lines[at] = slices.Repeat([]string{"-"}, len(r.GetSeries()))
			}
			lines[at][i] = reading(metric, p.GetValue())
		}
	}
	if len(lines) == 0 {
		t.Linef("no requests in this time")
		return
	}
	var rows [][]string
	for _, at := range slices.Sorted(maps.Keys(lines)) {
		rows = append(rows, append([]string{at}, lines[at]...))
	}
	t.Table(headers, rows)
}

// reading writes a value with its unit.
func reading(metric string, value float64) string {
	switch {
	case strings.HasPrefix(metric, "latency-"), metric == "queue-wait-p95", metric == "execution-p95":
		return took(durationpb.New(time.Duration(value * float64(time.Second))))
	case metric == "failure-rate":
		return output.Percent(100 * value)
	case strings.HasSuffix(metric, "-bytes"):
		return output.Bytes(int64(value))
	case metric == "request-rate":
		return strconv.FormatFloat(value, 'f', 2, 64) + "/s"
	}
	return output.Number(value)
}
