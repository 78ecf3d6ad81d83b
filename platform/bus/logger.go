package bus

import (
	"fmt"
	"log/slog"
)

// serverLog writes the server's log lines to slog. Notices are about the server's
// own start and stop: of interest only when debugging.
type serverLog struct {
	logger *slog.Logger
	// fatal takes the first reason for which the server can't run.
	fatal chan<- string
}

func (l serverLog) Noticef(format string, v ...any) { l.logger.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Debugf(format string, v ...any)  { l.logger.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Tracef(format string, v ...any)  { l.logger.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Warnf(format string, v ...any)   { l.logger.Warn(fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any)  { l.logger.Error(fmt.Sprintf(format, v...)) }

// Fatalf logs and tells; it ends nothing, for only main exits.
func (l serverLog) Fatalf(format string, v ...any) {
	reason := fmt.Sprintf(format, v...)
	l.logger.Error(reason)
	select {
	case l.fatal <- reason:
	default:
	}
}
