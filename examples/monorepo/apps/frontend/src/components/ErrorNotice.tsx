// SPDX-License-Identifier: GPL-3.0-or-later
interface Props {
  message: string;
  action: { label: string; run: () => void };
}

export function ErrorNotice({ message, action }: Props) {
  return (
    <div className="error" role="alert" data-testid="error">
      <span>{message}</span>
      <button type="button" className="button-quiet" onClick={action.run}>
        {action.label}
      </button>
    </div>
  );
}
