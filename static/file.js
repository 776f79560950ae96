// Lets a file be chosen instead of pasting it. Without script the text is pasted.
for (const area of document.querySelectorAll('textarea[data-file-into]')) {
  const field = document.createElement('p');
  const label = document.createElement('label');
  label.textContent = 'Or choose a file: ';
  const input = document.createElement('input');
  input.type = 'file';
  input.accept = '.csv,text/csv,text/plain';
  input.addEventListener('change', async () => {
    const [file] = input.files;
    if (file) area.value = await file.text();
  });
  label.append(input);
  field.append(label);
  area.closest('.field').after(field);
}
