// SPDX-License-Identifier: GPL-3.0-or-later
export function TrolleyIcon() {
  return (
    <svg className="icon" viewBox="0 0 32 32" aria-hidden="true">
      <path d="M4 6h4l3.400 14.500h13L27.300 10H9.200" />
      <circle cx="13" cy="25.500" r="1.700" />
      <circle cx="23" cy="25.500" r="1.700" />
    </svg>
  );
}

export function CloseIcon() {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d="M4 4l8 8M12 4l-8 8" />
    </svg>
  );
}
