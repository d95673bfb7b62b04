/** What the command line says about itself. */

export const overview = `parley: a chat platform that a team runs itself.

Usage
  parley serve                 run the whole server in this process, on http://localhost:8080
  parley chat --user NAME      chat in this terminal, or from a script
  parley doctor                check this machine and its configuration
  parley COMMAND --help        more about a command

Start
  parley serve                                       in one terminal
  parley chat --user ana --sign-up                   in a second one
  parley chat --user bob --sign-up --with ana        in a third one

Conversations are readable by the server until end-to-end encryption lands.

Exit codes
  0  done                                4  signing in was refused
  1  refused, or something failed        5  a message was not accepted by the server
  2  wrong command line                  6  what was waited for did not come
  3  the server cannot be reached
`;

export const chatHelp = `parley chat: chat in this terminal, or from a script.

Usage
  parley chat --user NAME [options]

Who
  --server URL          the server; default http://localhost:8080
  --user NAME           your username; may be left out when one person uses this server from here
  --sign-up             create the account first
  --display-name NAME   the name that others see, with --sign-up
  --password-file FILE  read the password from a file; otherwise it is asked for, once
  --profile DIRECTORY   where tokens, positions and unsent messages are kept;
                        default ~/.config/parley/<server>/<user>

With whom
  --with NAME           one person
  --group TITLE --members A,B   a new group
  --conversation ID     a conversation by its id

How
  --transport NAME      auto (default), websocket, connect, long-poll or short-poll
  --history COUNT       entries to show at first; default 20 at a terminal, 0 in a script
  --no-color            no colours; also when NO_COLOR is set

In a script (standard input is no terminal)
  Each line is sent as one message. Messages of others are printed, one per line. At the end of the input the
  command waits until the server has every message, and exits with 0; otherwise with 5 and the reason.
  --json                print everything that happens as one JSON object per line
  --commands            lines that begin with / are commands, as at a terminal
  --wait-messages N     after the end of the input, wait until N messages of others came (exit 6 if not)
  --wait-seconds N      after the end of the input, go on listening for N seconds; with --wait-messages
                        the longest time to wait, 60 by default
  --ack-seconds N       how long the server may take to accept the messages; default 30

At a terminal, /help lists the commands. Conversations are readable by the server until end-to-end encryption
lands.
`;

export const doctorHelp = `parley doctor: check this machine and its configuration.

Usage
  parley doctor [options]

  --data DIRECTORY      the server's data directory; default PARLEY_DATA_DIRECTORY or ./data
  --port PORT           the port that \`parley serve\` will listen on; default PARLEY_GATEWAY_PORT or 8080
  --server URL          also ask a running server how it is

It checks the version of Node, the port, the data directory (may it be written, how much space is left, how
long a sync to disk takes), the PARLEY_ variables in the environment, and a running server. For everything that
is wrong it says what to do. It exits with 0 if \`parley serve\` can run, and with 1 if not.
`;
