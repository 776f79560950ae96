// A button beside what is there to be copied. Without script, selecting and copying does it.
for (const field of document.querySelectorAll('[data-copy]')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  const said = document.createElement('span');
  said.setAttribute('role', 'status');
  said.className = 'hint';
  button.addEventListener('click', async () => {
    field.select?.();
    try {
      await navigator.clipboard.writeText(field.value ?? field.textContent);
      said.textContent = ' Copied.';
    } catch {
      said.textContent = ' Press Ctrl+C to copy.';
    }
  });
  field.after(button, said);
}
